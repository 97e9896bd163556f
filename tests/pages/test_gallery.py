"""docs/gallery: what its sections and pictures are made of."""

import io
import re

import numpy as np
import pytest

import lossjax
from lossjax import losses

pytest.importorskip("matplotlib")

import gallery
import pages
from parts import known, sections

MEND = "run `make pages`"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


@pytest.mark.thorough
def test_sections_are_what_is_generated():
    """Words exactly; numbers but for the rounding of another processor."""
    written = sections(pages.GALLERY)
    for cls in known():
        texts = written[cls.__name__], gallery.section(cls)
        assert NUMBER.sub("#", texts[0]) == NUMBER.sub("#", texts[1]), MEND
        found = [np.array(NUMBER.findall(text), float) for text in texts]
        np.testing.assert_allclose(*found, rtol=0.02, atol=1e-5, err_msg=MEND)


def test_rows_are_those_of_the_loss():
    rows = {row[0]: row[1:] for row in gallery.rows_of(losses.Huber(delta=2.0))}
    assert rows["too high by 1"] == ["[0]", "[1]", "0.5", "[1]"]
    assert rows["infinitely low"] == ["[0]", "[-inf]", "inf", "[-2]"]
    assert rows["anywhere"] == ["", "", "0 to inf", "-2 to 2"]


def test_a_row_of_several_arrays_has_each():
    class _Pairs(lossjax.Loss):
        domain = lossjax.testing.Domain(
            "pairs",
            lambda rng, s: (rng.normal(size=s), {"a": rng.normal(size=s), "b": rng.normal(size=s)}),
            points=[("apart", [1.0], {"a": [2.0], "b": [4.0]})],
            grid=([[0.0]], [{"a": [x], "b": [0.0]} for x in (-1.0, 3.0)]),
        )

        def call(self, y_true, y_pred):
            return (y_true * y_pred["a"] + y_pred["a"] * y_pred["b"])[..., 0]

    rows = {row[0]: row[1:] for row in gallery.rows_of(_Pairs())}
    assert rows["apart"] == ["[1]", "[2], [4]", "10", "[5], [2]"]
    assert rows["anywhere"] == ["", "", "0 to 0", "0 to 0, -1 to 3"]


def test_a_loss_without_a_use_or_points_is_told():
    class _Undescribed(lossjax.Loss):  # private names are not registered
        domain = lossjax.testing.Domain("nowhere", draw=None)

        def _nothing(y_true, y_pred):
            """The error.

            Source: none.
            """

        fn = _nothing

    with pytest.raises(ValueError, match='needs one paragraph that starts with "Use: "'):
        gallery.described(_Undescribed)
    with pytest.raises(ValueError, match="takes 'nowhere', and that domain has no `points`"):
        gallery.domain_of(_Undescribed())


def test_curves_are_of_the_numbers_that_the_row_tries_most():
    configs = [{}, {"from_logits": True, "gamma": 3.0}, {"gamma": 1.5, "alpha": 0.4, "axis": 0}]
    found = gallery.varied(losses.BinaryFocalCrossentropy, configs)
    assert found == {"gamma": [2.0, 3.0]}
    pairs = [{"alpha": 0.2, "beta": 0.7}]
    assert gallery.varied(losses.Tversky, pairs) == {"alpha": [0.2, 0.5], "beta": [0.7, 0.5]}
    assert gallery.varied(losses.Dice, [{}, {"axis": -1}]) == {}


def test_a_picture():
    from matplotlib.image import imread

    configs = [{"delta": 0.5}]
    made = gallery.picture(losses.Huber, configs)
    assert made == gallery.picture(losses.Huber, configs)
    committed = pages.GALLERY / gallery.picture_name(losses.Huber)
    assert np.shape(imread(io.BytesIO(made))) == np.shape(imread(committed))
    assert b"tEXt" not in made
