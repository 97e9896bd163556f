"""`make pages`: which losses it makes again, what it writes, what `make check` says."""

import inspect
import json

import pytest

pytest.importorskip("matplotlib")

import accuracy
import chips
import edges
import fingerprints
import measured
import pages
import parts
import peers
from cases import ROWS
from lossjax import Loss, losses


def mean_of_nothing(y_true, y_pred):
    """0. Use: never."""
    return 0 * (y_true - y_pred)[..., 0]


class _Nothing(Loss):  # private names are not registered
    fn = mean_of_nothing


NOW = {"source": "a", "row": "b", "program": "c", "jax": "1"}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({}, False),
        ({"source": "x"}, True),
        ({"row": "x"}, True),
        ({"program": "x"}, True),
        ({"program": "x", "jax": "2"}, False),  # another release lowers otherwise
    ],
)
def test_what_makes_a_loss_stale(change, stale):
    assert fingerprints.is_stale(NOW, NOW | change) is stale
    assert fingerprints.is_stale(None, NOW)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("Use: never", "Use: always", {"source"}),
        ("    return", "    # a comment\n\n    return", set()),
    ],
)
def test_a_fingerprint_sees_words_but_no_layout(old, new, changed, monkeypatch):
    before = fingerprints.fingerprint(_Nothing)
    text = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda x: text(x).replace(old, new))
    after = fingerprints.fingerprint(_Nothing)
    assert {part for part in before if before[part] != after[part]} == changed


def test_a_fingerprint_sees_numbers_that_change_below_a_loss():
    class _Twice(_Nothing):
        def call(self, y_true, y_pred):
            return 2 * (y_true - y_pred)[..., 0]

    assert list(fingerprints.programs(_Twice)) != list(fingerprints.programs(_Nothing))
    assert list(fingerprints.programs(_Twice)) == list(fingerprints.programs(_Twice))


def test_the_row_is_read_with_what_it_uses(tmp_path, monkeypatch):
    (tmp_path / "losses").mkdir()
    (tmp_path / "cases.py").write_text("")
    file = tmp_path / "losses" / "family.py"
    monkeypatch.setattr(fingerprints, "TESTS", tmp_path)

    def read(text):
        file.write_text(text)
        fingerprints.files.cache_clear()
        return fingerprints.row("It")

    text = "D = 2\ndef f(t):\n    return D * t\nCASES = (Case(losses.It, ({},), exact=f, ulps=3),)"
    first = read(text)
    fingerprints.files.cache_clear()
    assert first == read(text.replace("ulps=3", "ulps=4"))
    assert first == read(text.replace("({},)", "(\n    {},\n)"))
    assert first != read(text.replace("D = 2", "D = 3"))
    assert first != read(text.replace("({},)", "({}, {'delta': 1.0})"))
    assert read("") == ""
    fingerprints.files.cache_clear()


@pytest.fixture
def unchanged(monkeypatch):
    """Fingerprints as they were written."""
    kept = json.loads(pages.FINGERPRINTS.read_text())
    monkeypatch.setattr(pages, "fingerprint", lambda cls: dict(kept[cls.__name__]))
    return kept


def test_check_names_what_is_stale_and_the_command(unchanged, monkeypatch, capsys):
    pages.main(["--check"])
    assert "are those of the losses" in capsys.readouterr().out
    now = unchanged | {"Huber": unchanged["Huber"] | {"source": "new"}}
    monkeypatch.setattr(pages, "fingerprint", lambda cls: now[cls.__name__])
    with pytest.raises(SystemExit, match=r"stale: Huber\. Run `make pages`\."):
        pages.main(["--check"])
    monkeypatch.setattr(pages, "fingerprint", lambda cls: NOW)
    with pytest.raises(SystemExit) as stale:
        pages.main(["--check"])
    assert f" and {len(unchanged) - pages.NAMED} more. Run" in str(stale.value)


def test_check_says_that_another_release_of_jax_made_the_pages(unchanged, monkeypatch, capsys):
    now = {name: kept | {"jax": "99"} for name, kept in unchanged.items()}
    monkeypatch.setattr(pages, "fingerprint", lambda cls: now[cls.__name__] | {"program": "new"})
    pages.main(["--check"])
    assert "programs are not compared" in capsys.readouterr().out


def test_only_what_changed_is_made_again(unchanged, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(pages, "remake", lambda cls, now: made.append(cls.__name__))
    pages.main([])
    assert made == []
    assert "0 of" in capsys.readouterr().out
    monkeypatch.setattr(
        pages, "fingerprint", lambda cls: NOW if cls is losses.Dice else unchanged[cls.__name__]
    )
    pages.main([])
    assert made == ["Dice"]
    assert "1 of 1: Dice" in capsys.readouterr().out
    made.clear()
    pages.main(["--all"])
    assert made == [cls.__name__ for cls in parts.known()]


def test_a_loss_that_moves_takes_its_section_along(tmp_path):
    (tmp_path / "old.md").write_text("# Old\n\n## Huber\n\nwords\n\n## Dice\n\nmore\n")
    found = parts.sections(tmp_path)
    assert found == {"Huber": "## Huber\n\nwords\n", "Dice": "## Dice\n\nmore\n"}
    written = dict(parts.pages("Losses", found))
    family = parts.family_of(losses.Huber)
    assert "## Huber\n\nwords\n" in written[f"{family}.md"]
    assert written[f"{family}.md"].startswith(f"# Losses: {family}\n\n")


def test_pages_of_families_that_are_gone_are_removed(tmp_path, monkeypatch):
    for name in ("DOCS", "GALLERY", "SAFETY"):
        monkeypatch.setattr(pages, name, tmp_path / name.lower())
    new, gone = pages.GALLERY / "new.md", pages.GALLERY / "gone.md"
    pages.GALLERY.mkdir()
    gone.write_text("")
    assert pages.write({new: "text"}) == ["gallery/new.md", "gallery/gone.md"]
    assert new.read_text() == "text"
    assert not gone.exists()
    assert pages.write({new: "text"}) == []


def test_a_safety_section_joins_equal_rows_and_is_counted():
    passed = dict.fromkeys(("lossjax", "Keras", "optax"), "✓")
    bad = passed | {"Keras": "value NaN", "optax": "–"}
    found = {"": {"ties": passed, "±inf": bad}, "d=1.0": {"ties": passed, "±inf": passed}}
    text = edges.section("It", found, {"jax": "1.0"})
    assert "| ties | all | ✓ | ✓ | ✓ | ? |" in text
    assert "| ±inf | `defaults` | ✓ | value NaN | – | ? |" in text
    assert "Options: `defaults` `d=1.0`. Computed on CPU; jax 1.0." in text
    counts = edges.index({"It": text})
    assert (
        "| ±inf | 2 of 2 | 1 of 2 | 1 of 1 | – |\n| ties | 2 of 2 | 2 of 2 | 2 of 2 | – |" in counts
    )


def test_a_loss_without_a_definition_is_said_to_have_none():
    text = edges.section("It", {}, {})
    assert text == f"## It\n\n{edges.UNDEFINED}\n"
    assert "| ties |" not in edges.index({"It": text})


def test_no_committed_cell_of_ours_fails():
    """But those of which a row says so."""
    written = parts.sections(pages.SAFETY)
    ours = {
        name: [c for c in edges.cells(text) if "lossjax" in c] for name, text in written.items()
    }
    failed = {
        (name, group)
        for name, cells in ours.items()
        for group, _, words, _ in cells
        if words != edges.PASSED
    }
    assert failed == {(row.loss.__name__, group) for row in ROWS for group in row.unsafe}
    assert sum(times for cells in ours.values() for *_, times in cells) > 10 * len(written)


def test_every_library_has_one_page(tmp_path):
    heads = [line for text in peers.pages().values() for line in text.splitlines()]
    found = [line.split()[1] for line in heads if line.startswith("## ") and line[-1].isdigit()]
    recorded = [x for path in peers.RECORDS.glob("*.json") for x in peers.records(path)]
    # torch's version ends in letters
    assert sorted(found) == sorted({x["library"] for x in recorded} - {"torch"})
    torch = peers.pages()[pages.DOCS / "from_torch.md"]
    assert torch.count("## torch 2") == 1
    assert "| `F.mse_loss(y_pred, y_true)` | `losses.MeanSquaredError()(y_true, y_pred)` |" in torch


def test_measured_numbers_are_those_of_the_records(monkeypatch):
    values = {"lossjax": [1.0, 3.0, 2.0], "lossjax auto": [0.5], "keras": [0.004]}
    rows = [
        {"case": "a", "implementation": name, "shape": [8], "values": {"seconds": seconds}}
        for name, seconds in values.items()
    ]
    rows += [
        {"case": "a", "implementation": "keras", "shape": [9], "values": {"seconds": [7.0]}},
        # A loss that nobody else has tells nothing beside the others.
        {"case": "b", "implementation": "lossjax auto", "shape": [8], "values": {"seconds": [9.0]}},
    ]
    monkeypatch.setattr(measured, "record", lambda name: {"rows": rows, "argv": [name, "--json"]})
    found = measured.row("it", "a step", "seconds", max, measured.seconds, shape=[8])
    assert found == ["a step", "0.50 s", "Keras 4.00 ms", "`python -m bench it`"]
    speed = (
        "| shape | over keras | over torch |\n| --- | --- | --- |\n| a | 1 | 2 |\n| all | 3 | 4 |"
    )
    assert measured.of_speed(speed)[2] == "Keras 3, torch 4"
    safety = "| at | lossjax | Keras |\n| --- | --- | --- |\n| behind a mask | 9 of 9 | 1 of 9 |\n"
    assert measured.of_safety(safety)[1:3] == ["9 of 9", "Keras 1 of 9"]
    assert measured.megabytes(123_456) == "0.12 MB"


def test_accuracy_is_that_of_the_rows():
    written = accuracy.PAGE.read_text(encoding="utf-8")
    assert written == accuracy.page()
    (row,) = (row for row in ROWS if row.loss is losses.Huber)
    value, gradient = row.ulps
    assert f"[Huber](gallery/regression.md#huber) | {value} | {gradient} |" in written
    assert written.count("](gallery/") == len(parts.known())


def test_every_loss_that_moves_more_bytes_has_a_reason():
    rows = json.loads(chips.RECORD.read_text(encoding="utf-8"))["rows"]
    above = {
        case.partition("(")[0] for case, of in chips.over_floor(rows).items() if chips.is_above(of)
    }
    assert sorted(above) == sorted(name for names in chips.REASONS.values() for name in names)
    assert chips.PAGE.read_text(encoding="utf-8") == chips.page()
