"""docs/gallery.md: its text is what its generator writes now, and every loss has its picture."""

import io
import re

import numpy as np
import pytest

import lossjax
from bench.cases import loss_classes
from lossjax import losses, testing

pytest.importorskip("matplotlib")

import gallery

MEND = "run `python docs/gallery.py`"
OWN = {cls.__name__ for cls in loss_classes()}


@pytest.fixture(scope="module")
def written():
    return gallery.PAGE.read_text(encoding="utf-8")


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def test_page_is_what_is_generated(written):
    """Words exactly; numbers but for the rounding of another processor."""
    made = gallery.text()
    assert NUMBER.sub("#", written) == NUMBER.sub("#", made), MEND
    found = [np.array(NUMBER.findall(page), float) for page in (written, made)]
    np.testing.assert_allclose(*found, rtol=0.02, atol=1e-5, err_msg=MEND)


def test_every_registered_loss_has_a_section_and_a_picture(written):
    assert set(re.findall(r"^## (\w+)$", written, re.MULTILINE)) == OWN, MEND
    shown = re.findall(r"!\[.*?\]\((.*?)\)", written)
    assert len(shown) == len(OWN)
    assert {file.name for file in gallery.PICTURES.iterdir()} == {
        name.rpartition("/")[2] for name in shown
    }, f"{MEND}, and remove the pictures of losses that are gone"
    for name in shown:
        assert (gallery.PAGE.parent / name).read_bytes().startswith(b"\x89PNG"), MEND


def test_rows_are_those_of_the_loss():
    rows = {row[0]: row[1:] for row in gallery.rows_of(losses.Huber(delta=2.0))}
    assert rows["too high by 1"] == ["[0]", "[1]", "0.5", "[1]"]
    assert rows["infinitely low"] == ["[0]", "[-inf]", "inf", "[-2]"]
    assert rows["anywhere"] == ["", "", "0 to inf", "-2 to 2"]


def test_a_loss_without_a_use_or_points_is_told():
    class _Undescribed(lossjax.Loss):  # private names are not registered
        domain = testing.Domain("nowhere", testing.DOMAINS["real"].draw)

        def _nothing(y_true, y_pred):
            """The error.

            Source: none.
            """

        fn = _nothing

    with pytest.raises(ValueError, match='needs one paragraph that starts with "Use: "'):
        gallery.described(_Undescribed)
    with pytest.raises(ValueError, match="takes 'nowhere', and that domain has no `points`"):
        gallery.domain_of(_Undescribed())


def test_a_picture():
    from matplotlib.image import imread

    made = gallery.picture(losses.Huber)
    assert made == gallery.picture(losses.Huber)
    committed = gallery.PICTURES / gallery.file_of(losses.Huber)
    assert np.shape(imread(io.BytesIO(made))) == np.shape(imread(committed)), MEND
    assert b"tEXt" not in made
