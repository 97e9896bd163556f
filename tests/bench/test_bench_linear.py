"""`python -m bench linear-ce`: what its record holds, and how that is shown."""

import dataclasses

import pytest

from bench import contest, environment, peers, record, tables
from bench.__main__ import main
from bench.cases import LinearCase
from bench.frames import measured
from bench.record import Row
from bench.report.sections import vocabulary
from lossjax import losses

PEERS = ("optax", "torch", "jax-cce")


@pytest.mark.thorough
def test_record(tmp_path, capsys):
    file = tmp_path / "record.json"
    size = ["--shape", "64x128", "--chunks", "16", "--powers", "6", "7", "--rounds", "2"]
    assert main(["linear-ce", *size, "--peers", *PEERS, "--json", str(file)]) == 0
    found = record.load(file)
    timed = [row for row in found.rows if "seconds" in row.values]
    assert [(row.implementation, row.case, row.weighting) for row in timed] == [
        ("lossjax", "LinearCrossEntropy()", "none"),
        *((name, "LinearCrossEntropy()", "none") for name in PEERS if name not in found.missing),
        ("lossjax", "LinearCrossEntropy(chunk=16)", "none"),
        ("lossjax", "LinearCrossEntropy()", "mask"),
        ("lossjax", "LinearCrossEntropy(compact=True)", "mask"),
    ]
    assert all("error" not in row.values for row in found.rows)
    assert all("temp_bytes" in row.values for row in found.rows if row.implementation != "torch")
    assert {row.shape for row in found.rows} == {(64, 64), (64, 128)}
    printed = capsys.readouterr().out
    assert "LinearCrossEntropy(chunk=16)" in printed
    assert printed.count("over") >= 2 + ("torch" not in found.missing)
    section = vocabulary(measured([found], "linear-ce"))
    (plot,) = [figure.plot for figure in section.figures if figure.plot]
    curves = plot.points.groupby(["row", "series"], sort=False)["x"]
    assert [list(xs) for _, xs in curves][:2] == [[64, 128]] * 2
    assert "optax takes" in section.facts[0]


def test_every_chunk_is_shown_over_the_dense_forms():
    """Round by round: of these times, the quotient of the medians is another number."""
    taken = {
        ("LinearCrossEntropy()", "lossjax"): [2.0, 4.0, 8.0],
        ("LinearCrossEntropy()", "optax"): [1.0, 8.0, 8.0],
        ("LinearCrossEntropy()", "jax-cce"): [1.0, 1.0, 1.0],
        ("LinearCrossEntropy(chunk=16)", "lossjax"): [1.0, 2.0, 6.0],
    }
    rows = [
        Row(case, "none", (16, 64), "float32", name, "cpu", {"seconds": seconds})
        for (case, name), seconds in taken.items()
    ]
    found = dataclasses.replace(environment.begun(["linear-ce"]), rows=rows)
    timed, _ = tables.vocabulary(measured([found], "linear-ce"), "", True)
    columns = {str(column.header): [*column.cells] for column in timed.columns}
    assert columns["over\nlossjax"] == ["1.00", "1.00", "0.25", "0.50"]
    assert columns["over\noptax"] == ["1.00", "1.00", "0.12", "0.75"]
    assert "over\ntorch" not in columns


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
