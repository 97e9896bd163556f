"""The benchmark suite: what it measures, how it measures, what it writes. Never how fast."""

import dataclasses
import gc
import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import keras
from bench import agreement, cases, contest, environment, harness, record, tables
from bench.__main__ import main
from bench.peers import OURS, PEERS, TRACED, JaxPeer
from bench.record import Record, Row, ratio
from cases import quick
from lossjax import losses, testing

ROOT = Path(__file__).parents[2]
ALL = cases.cases(shapes=((8, 4),))
KERAS, OPTAX, TORCH = (next(p for p in PEERS if p.name == n) for n in ("keras", "optax", "torch"))
HERE = [peer for peer in PEERS if peer.name != "torch.compile"]  # that one takes ten seconds


@pytest.fixture(autouse=True, scope="module")
def _quick_collection():
    """What is there already need not be looked through after each round."""
    gc.freeze()
    yield
    gc.unfreeze()


class FakeClock:
    """Time passes only when a contestant says so."""

    def __init__(self):
        self.now = 0.0
        self.drift = 1.0

    def __call__(self):
        return self.now

    def contestant(self, seconds, log=None, name="", queued=False):
        def call():
            self.now += seconds * self.drift
            if log is not None:
                log.append(name)

        waits = [] if log is None else log
        return harness.Contestant(call, lambda result: waits.append(f"wait {name}"), queued)


def test_every_round_has_every_contestant_in_shuffled_order():
    log, names = [], list("abcdef")

    def take(name):
        log.append(name)
        return 1.0

    samples = harness.interleave(names, take, rounds=5, seed=3)
    rounds = [log[i : i + 6] for i in range(0, 30, 6)]
    assert all(sorted(one) == names for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    assert samples == {name: [1.0] * 5 for name in names}
    again, log = log, []
    harness.interleave(names, take, rounds=5, seed=3)
    assert log == again


@pytest.mark.parametrize(("seconds", "rounds"), [(3.0, 2), (4.0, 2), (4.1, 3), (1e9, 7)])
def test_rounds_end_in_time_and_are_never_cut_short(seconds, rounds):
    clock, shares = FakeClock(), []

    def take(name):
        clock.now += 1.0
        return 1.0

    samples = harness.interleave("ab", take, 7, seconds, clock=clock, progress=shares.append)
    assert [len(found) for found in samples.values()] == [rounds, rounds]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_ratios_are_free_of_drift():
    clock = FakeClock()

    def slower(share):
        clock.drift *= 1.5

    contestants = {"a": clock.contestant(3e-3), "b": clock.contestant(1e-3)}
    samples = harness.measure(contestants, 9, clock=clock, progress=slower)
    assert samples["a"][8] > 20 * samples["a"][0]
    assert ratio(samples["a"], samples["b"]) == pytest.approx((3, 3, 3))


@pytest.mark.parametrize("queued", [True, False])
def test_a_short_call_is_repeated_in_a_sample(queued):
    clock, log = FakeClock(), []
    one = clock.contestant(2**-16, log, "a", queued)
    assert one.sample(64, clock) == 2**-16
    assert log.count("a") == 64
    assert log.count("wait a") == (1 if queued else 64)
    log.clear()
    assert harness.measure({"a": one}, 1, clock=clock) == {"a": [2**-16]}
    settling = math.ceil(harness.SETTLE * 2**16)
    assert log.count("a") == 1 + 2 * settling + math.ceil(harness.SAMPLE * 2**16)


def test_a_stalled_call_does_not_make_the_sample():
    clock, seconds = FakeClock(), itertools.cycle([1, 1, 50, 1, 1])

    def call():
        clock.now += next(seconds)

    assert harness.Contestant(call, lambda result: None).sample(5, clock) == 1


def test_contestants_settle_before_a_sample():
    """The same call runs untimed, so that nothing of the one before is left."""
    clock, log = FakeClock(), []
    contestants = {name: clock.contestant(4e-3, log, name) for name in "ab"}
    harness.measure(contestants, 1, clock=clock)
    calls = [name for name in log if not name.startswith("wait")][8:]
    assert calls in ([*"aaaabbbb"], [*"bbbbaaaa"])  # three to settle, one sample


def test_ratio_is_of_pairs():
    assert ratio([1, 2, 30], [1, 1, 10]) == (2, 1, 3)
    assert ratio(range(1, 12), [1] * 11) == (6, 3, 9)
    with pytest.raises(ValueError, match="got 2 and 1 samples"):
        ratio([1.0, 2.0], [1.0])


def test_cases_are_all_losses():
    classes = {x for x in vars(losses).values() if isinstance(x, type)}
    classes = {cls for cls in classes if issubclass(cls, losses.Loss)}
    of_losses = {losses.Loss, losses.On, losses.WeightedSum}
    assert {type(case.loss) for case in ALL} == classes - of_losses
    assert len({case.name for case in ALL}) == len(ALL)
    logits = {type(case.loss) for case in ALL if getattr(case.loss, "from_logits", False)}
    assert losses.BinaryCrossentropy in logits


@pytest.mark.parametrize("name", ["mse", "mean_squared_error", "MeanSquaredError"])
def test_cases_know_every_name(name):
    assert [case.name for case in cases.cases([name], shapes=((8, 4),))] == ["MeanSquaredError()"]


def test_unknown_loss_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no loss is called 'hubber'. Did you mean 'huber'\?"):
        cases.cases(["hubber"])


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_inputs(case):
    for weighting in record.WEIGHTINGS:
        one = dataclasses.replace(case, weighting=weighting, dtype="bfloat16")
        inputs = one.inputs()
        y_pred = jax.tree.leaves(inputs[1])
        found = y_pred[0].shape if len(y_pred) == 1 else (8, y_pred[1].shape[-1])
        is_score = testing.domain_of(case.loss).shape[-1] == 1
        assert found == ((8, 1) if is_score else one.shape)
        assert all(x.dtype == jnp.bfloat16 for x in y_pred)
        assert all(w.shape == one.shape[:1] for w in inputs[2:])
        assert len(inputs) == (2 if weighting == "none" else 3)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), inputs) == jax.tree.map(
            lambda s: (s.shape, s.dtype), one.structs()
        )


def test_shapes_of_pairs_sequences_and_regions():
    chosen = cases.cases(["Circle", "CTC", "Jaccard"], shapes=((2048, 4096), (256, 128), (4, 6, 5)))
    assert [case.shape for case in chosen] == [
        (1024, 64),
        (256, 64),
        (4, 5),
        (16, 64, 128),
        (4, 6, 5),
        (128, 4096, 16),
        (16, 128, 16),
        (4, 6, 5),
    ]


@pytest.mark.parametrize("name", ["BetaNLL", "DiscreteHazard", "Huber"])
def test_the_floor_reads_and_writes_all_parameters(name):
    [case] = cases.cases([name], shapes=((8, 4),))
    y_true, y_pred = case.inputs()
    moved = contest.floor(case)(y_true, y_pred)
    assert jax.tree.map(np.shape, moved) == jax.tree.map(np.shape, y_pred)
    same = [y for y in jax.tree.leaves(y_true) if y.shape == case.shape]
    np.testing.assert_array_equal(
        jax.tree.leaves(moved)[0], jax.tree.leaves(y_pred)[0] + (same[0] if same else 1)
    )


@pytest.mark.parametrize("peer", [OPTAX, TORCH], ids=lambda peer: peer.name)
def test_tables_name_losses(peer):
    if peer.missing:
        pytest.skip(peer.missing)
    assert peer.table().keys() <= {case.kind for case in ALL}


# A mean, labels, logits, a value for the batch: what the peers write in ways of their own.
@pytest.mark.parametrize(
    "case",
    quick(ALL, lambda case: case.kind in ("Huber", "SparseCategoricalCrossentropy", "Dice")),
    ids=lambda case: case.name,
)
def test_peers_agree(case):
    peers = [peer for peer in (*HERE, TRACED) if not peer.missing]
    contestants, errors = contest.enter([case], peers)
    assert errors == {}
    assert (case, "lossjax") in contestants
    assert (case, "keras") in contestants or not hasattr(keras.losses, case.kind)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["mse", "kl_divergence", "Dice"])
def test_peers_agree_on_weights_and_masks(name, dtype):
    chosen = cases.cases([name], ((8, 4),), (dtype,), ("weight", "mask"))
    assert len(chosen) == 2
    contestants, errors = contest.enter(chosen, [peer for peer in HERE if not peer.missing])
    assert errors == {}
    # A mask goes into the sums of Dice; Keras's masks the value alone.
    known = [case for case in chosen if name != "Dice" or case.weighting == "weight"]
    assert {(case, "keras") for case in known} <= contestants.keys()


@pytest.mark.filterwarnings("ignore")  # torch's own
@pytest.mark.thorough
def test_torch_compile_agrees():
    peer = PEERS[-1]
    if peer.missing:
        pytest.skip(peer.missing)
    chosen = cases.cases(["Huber"], ((8, 4),), weightings=("none", "mask"))
    contestants, errors = contest.enter(chosen, [OURS, peer])
    assert errors == {}
    assert {(case, "torch.compile") for case in chosen} <= contestants.keys()


class Altered(JaxPeer):
    """lossjax with something wrong."""

    module = "lossjax"

    def __init__(self, name, change):
        self.name = name
        self.change = change

    def function(self, case):
        return lambda *inputs: self.change(OURS.function(case)(*inputs), inputs[1])


def fail(value, y_pred):
    raise RuntimeError("broken in /usr/lib/broken.py\nand more")


def test_who_disagrees_is_not_timed():
    altered = [
        Altered("value", lambda value, y_pred: value * 1.001),
        Altered("gradient", lambda value, y_pred: 2 * value - jax.lax.stop_gradient(value)),
        Altered("error", fail),
        Altered("right", lambda value, y_pred: value),
    ]
    case = cases.Case(losses.MeanSquaredError(), (8, 4))
    rows = contest.timed([case], [OURS, *altered], 2, 60, lambda share: None)
    errors = {row.implementation: row.values.get("error", "") for row in rows}
    assert "the value is" in errors["value"]
    assert "100.00% of the gradient's entries differ" in errors["gradient"]
    assert errors["error"] == "broken in ..."
    timed = [row.implementation for row in rows if "seconds" in row.values]
    assert timed == ["lossjax", "right", record.FLOOR]
    assert all(len(row.values["seconds"]) == 2 for row in rows if "seconds" in row.values)


def test_nothing_is_timed_without_a_reference():
    case = cases.Case(losses.MeanSquaredError(), (8, 4))
    contestants, errors = contest.enter([case], [Altered("error", fail), OURS])
    assert [name for _, name in errors] == ["error"]
    assert [name for _, name in contestants] == [record.FLOOR]


def test_a_tie_is_no_disagreement():
    case = cases.Case(losses.MeanAbsoluteError(), (100, 1000))
    gradient = np.ones(case.shape, np.float32)
    tied = gradient.copy()
    tied[0, :5] = 0
    value = np.float32(1)
    assert agreement.disagreement(case, (value, tied), (value, gradient)) is None
    tied[0, :50] = 0
    assert agreement.disagreement(case, (value, tied), (value, gradient)) is not None
    infinite = np.where(tied == 0, np.inf, tied)
    assert agreement.disagreement(case, (value, infinite), (value, gradient)) is None


ROW = Row("Huber()", "none", (8, 4), "float32", "lossjax", "cpu", {"seconds": [1.5e-3, 2e-3]})


def a_record(*rows):
    return dataclasses.replace(environment.begun(["losses"]), rows=[*rows], missing={"torch": "no"})


def test_record_round_trip(tmp_path):
    rows = [ROW, dataclasses.replace(ROW, implementation="keras", values={"error": "no"})]
    saved = a_record(*rows)
    saved.save(tmp_path / "r.json")
    loaded = record.load(tmp_path / "r.json")
    assert loaded == saved
    assert loaded.groups() == {ROW.group: {"lossjax": rows[0], "keras": rows[1]}}
    assert {"python", "jax", "lossjax", "numpy"} <= loaded.versions.keys()
    assert loaded.device["platform"] == jax.default_backend()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", loaded.started)


def broken(path, change):
    a_record(ROW).save(path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema=2), "$.schema: 1 was expected. Make one with"),
        (lambda d: d.pop("device"), "$: 'device' is a required property"),
        (lambda d: d.update(extra=1), "$: Additional properties are not allowed ('extra' was"),
        (lambda d: d.update(rows={}), "$.rows: {} is not of type 'array'"),
        (lambda d: d.update(flags={str(i): "" for i in range(999)} | {"x": 3}), "$.flags.x: 3 is"),
        (lambda d: d.update(argv={str(i): "" for i in range(999)}), "is not of type 'array'"),
        (lambda d: d["rows"].append(3), "$.rows[1]: 3 is not of type 'object'"),
        (lambda d: d["rows"][0].pop("case"), "$.rows[0]: 'case' is a required property"),
        (lambda d: d["rows"][0].update(shape=[8, -1]), "$.rows[0].shape[1]: -1 is less than"),
        (lambda d: d["rows"][0].update(weighting="all"), ".weighting: 'all' is not one of ['none'"),
        (lambda d: d["rows"][0].update(dtype="int8"), "dtype: 'int8' is not one of ['float32'"),
        (lambda d: d["rows"][0]["values"].update(seconds=[]), ".values.seconds: [] should be"),
        (lambda d: d["rows"][0]["values"].update(seconds=[1, -1]), ".seconds[1]: -1 is less"),
        (lambda d: d["rows"][0]["values"].update(seconds=[math.nan]), "is not JSON: it holds NaN"),
        (lambda d: d["rows"][0]["values"].update(temp_bytes="1"), "'1' is not of type 'number'"),
        (lambda d: d["rows"][0]["values"].update(speed=1), "('speed' was unexpected)"),
    ],
)
def test_a_broken_record_is_told(tmp_path, change, message):
    path = tmp_path / "r.json"
    broken(path, change)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        record.load(path)
    assert str(error.value).startswith("bench: r.json: ")
    assert len(str(error.value)) <= 300


def test_a_file_that_is_no_record(tmp_path):
    with pytest.raises(ValueError, match=r"bench: none.json: cannot be read: No such file"):
        record.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("hello")
    with pytest.raises(ValueError, match=r"bench: text.json: is not JSON"):
        record.load(tmp_path / "text.json")


def smoke(tmp_path, command, *arguments):
    path = tmp_path / "r.json"
    assert main([command, *arguments, "--json", str(path)]) == 0
    found = record.load(path)
    assert isinstance(found, Record)
    assert found.command == command
    return found


def implementations(found, what):
    return {row.implementation for row in found.rows if what in row.values}


def test_losses(tmp_path, capsys):
    peers = ["keras", "optax", "torch"]
    found = smoke(
        tmp_path, "losses", "--losses", "Huber", "--shapes", "8x4", "--rounds", "2", "--traced",
        "--weightings", "none", "weight", "--peers", *peers,
    )  # fmt: skip
    here = {peer for peer in peers if peer not in found.missing}
    assert implementations(found, "seconds") == {"lossjax", "lossjax.traced", "floor", *here}
    assert all(len(row.values["seconds"]) == 2 for row in found.rows)
    printed = capsys.readouterr().out
    for text in ("Huber", "over", "floor", "unweighted", "geometric means", *here):
        assert text in printed
    assert all(f"{name} cannot be used" in printed for name in found.missing)


def test_elsewhere(tmp_path, capsys):
    found = smoke(
        tmp_path, "elsewhere", "--losses", "MultiMargin", "Perceptron", "--shapes", "8x4",
        "--rounds", "1",
    )  # fmt: skip
    here = {"optax", "torch"} - found.missing.keys()
    assert implementations(found, "seconds") == {"lossjax", "floor", *here}
    assert {row.case for row in found.rows} >= {"Perceptron()"}
    assert not any("error" in row.values for row in found.rows)
    assert "its time over lossjax's" in capsys.readouterr().out


@pytest.mark.thorough
def test_scaling(tmp_path, capsys):
    found = smoke(
        tmp_path, "scaling", "--losses", "mse", "CTC", "--shapes", "1x8", "--elements", "4", "6",
        "--rounds", "1",
    )  # fmt: skip
    assert [row.shape for row in found.rows[::2]] == [(2, 8), (4, 8), (8, 8)]
    assert implementations(found, "seconds") == {"lossjax", "floor"}
    assert "2^6" in capsys.readouterr().out


@pytest.mark.thorough
def test_memory(tmp_path, capsys):
    found = smoke(tmp_path, "memory", "--losses", "LogCosh", "--shapes", "8x4")
    assert implementations(found, "temp_bytes") == {"lossjax", "keras", "optax"}
    kept = {row.implementation: row.values["residual_bytes"] for row in found.rows}
    assert kept["optax"] >= 8 * 4 * 4  # it saves the errors
    assert "temp" in capsys.readouterr().out


@pytest.mark.thorough
def test_compile(tmp_path, capsys):
    arguments = ("--losses", "mse", "--shapes", "8x4", "--rounds", "2")
    found = smoke(tmp_path, "compile", *arguments)
    assert implementations(found, "first_call_seconds") == {"lossjax", "keras", "optax"}
    assert all(len(row.values["first_call_seconds"]) == 2 for row in found.rows)
    assert "MeanSquaredError" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["losses", "elsewhere", "memory", "scaling", "linear-ce", "devices"]
)
def test_what_failed_is_shown(capsys, command):
    """Alone, and beside one that has numbers."""
    failed = dataclasses.replace(ROW, values={"error": "such a pity"})
    for rows in ([failed], [failed, dataclasses.replace(ROW, implementation="floor")], [ROW]):
        tables.show(dataclasses.replace(a_record(*rows), command=command))
        printed = capsys.readouterr().out
        text = "lossjax is not measured: Huber, no weights, 8 × 4, float32: such a pity"
        assert (text in printed) == (failed in rows)
        assert "torch cannot be used: no" in printed


@pytest.mark.parametrize("rounds", [1, 2])
def test_one_round_has_no_spread(capsys, rounds):
    rows = [
        dataclasses.replace(ROW, implementation=name, values={"seconds": [1.5e-3, 2e-3][:rounds]})
        for name in ("lossjax", "keras")
    ]
    tables.show(a_record(*rows))
    assert ("±" in capsys.readouterr().out) == (rounds > 1)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["losses", "--shapes", "12"], "a shape like 2048x4096 is required (rows first), got '12'"),
        (["losses", "--rounds", "0"], "a number from 1 is required, got 0"),
        (["losses", "--seconds", "-1"], "a number above 0 is required, got -1"),
        (["losses", "--losses", "hubber"], "Did you mean 'huber'?"),
        (["losses", "--json", "no/such/folder/r.json"], "the folder of --json"),
        (["memory", "--peers", "torch"], "invalid choice: 'torch'"),
        (["scaling", "--elements", "2", "4"], "Choose another --shapes or --elements"),
        (["speed"], "invalid choice: 'speed'"),
    ],
)
def test_wrong_arguments_are_told(capsys, argv, message):
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def python(*arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_help_needs_no_jax():
    program = (
        "import sys; from bench.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('jax' in sys.modules)"
    )
    printed = python("-c", program)
    assert "losses" in printed
    assert printed.endswith("False\n")


def test_the_device_is_chosen_before_jax_is_imported():
    printed = python(
        "-m", "bench", "memory", "--losses", "mse", "--shapes", "8x4", "--peers", "--device", "cpu"
    )
    assert "memory on cpu" in printed
