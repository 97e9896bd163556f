"""`python -m bench linear-ce`: what its record holds, and how that is shown."""

import pytest

from bench import contest, peers, record
from bench.__main__ import main
from bench.cases import LinearCase
from bench.frames import measured
from bench.record import Row
from bench.report.sections import vocabulary
from lossjax import losses


@pytest.mark.thorough
def test_record(tmp_path, capsys):
    file = tmp_path / "record.json"
    size = ["--shape", "64x128", "--chunks", "16", "--powers", "6", "7", "--rounds", "2"]
    assert main(["linear-ce", *size, "--peers", "optax", "jax-cce", "--json", str(file)]) == 0
    found = record.load(file)
    timed = [row for row in found.rows if "seconds" in row.values]
    assert [(row.implementation, row.case, row.weighting) for row in timed] == [
        ("lossjax", "LinearCrossEntropy()", "none"),
        ("optax", "LinearCrossEntropy()", "none"),
        *[("jax-cce", "LinearCrossEntropy()", "none")] * ("jax-cce" not in found.missing),
        ("lossjax", "LinearCrossEntropy(chunk=16)", "none"),
        ("lossjax", "LinearCrossEntropy()", "mask"),
        ("lossjax", "LinearCrossEntropy(compact=True)", "mask"),
    ]
    assert all("error" not in row.values and "temp_bytes" in row.values for row in found.rows)
    assert {row.shape for row in found.rows} == {(64, 64), (64, 128)}
    assert "LinearCrossEntropy(chunk=16)" in capsys.readouterr().out
    section = vocabulary(measured([found], "linear-ce"))
    (plot,) = [figure.plot for figure in section.figures if figure.plot]
    curves = plot.points.groupby(["row", "series"], sort=False)["x"]
    assert [list(xs) for _, xs in curves][:2] == [[64, 128]] * 2
    assert "optax takes" in section.facts[0]


def test_memory_is_in_parts_of_the_logits():
    values = {"temp_bytes": 1024}
    row = Row("LinearCrossEntropy()", "none", (16, 64), "float32", "lossjax", "cpu", values)
    assert row.input_bytes == 4 * 16 * 64


@pytest.mark.parametrize("peer", peers.LINEAR, ids=lambda peer: peer.name)
def test_libraries_for_large_vocabularies_agree(peer):
    if peer.missing:
        pytest.skip(peer.missing)
    case = LinearCase(losses.LinearCrossEntropy(), (64, 2048))
    _, errors = contest.enter([case], [peers.OURS, peer])
    assert errors == {}
