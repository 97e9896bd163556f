"""`lossjax.inspect.check`: five common mistakes, and what each question answers."""

import itertools
import sys
import warnings

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lossjax
from lossjax import inspect, losses, testing
from lossjax.inspect import probes
from lossjax.inspect._case import Case
from lossjax.inspect._subject import values_of
from lossjax.inspect.probes import batch, derivative, precision, shape, transform


def scalar_mean(y_true, y_pred):
    return jnp.mean((y_true - y_pred) ** 2)


def unguarded_log(y_true, y_pred):
    return -jnp.mean(y_true * jnp.log(y_pred) + (1 - y_true) * jnp.log(1 - y_pred), axis=-1)


def squared(y_true, y_pred):
    return (y_true - y_pred) ** 2


def numpy_inside(y_true, y_pred):
    return np.mean(np.abs(y_true - y_pred), axis=-1)


def distance(y_true, y_pred):
    return jnp.linalg.norm(y_true - y_pred, axis=-1)


DATA = testing.draw("real", (6, 4))
COLUMN = np.arange(6, dtype="float32"), np.ones((6, 1), "float32")

# (loss, data, the finding, words of its cause, words of its fix)
MISTAKES = [
    (scalar_mean, (), "per sample", "One number for the whole batch of 8", "axis=-1"),
    (unguarded_log, (), "edges", "At y_pred = 0: value NaN, gradient NaN", "Clip before the log"),
    (squared, COLUMN, "broadcasting", "values of shape (6, 6)", "y_pred[..., 0]"),
    (numpy_inside, (), "jit", "TracerArrayConversionError", "Use jax.numpy in place of numpy"),
    (distance, (), "edges", "At y_pred = y_true: gradient NaN", "no derivative at 0"),
]


@pytest.mark.parametrize(("loss", "data", "name", "cause", "fix"), MISTAKES)
def test_five_mistakes(loss, data, name, cause, fix):
    report = inspect.check(loss, *data)
    finding = report[name]
    assert finding.severity == "error"
    assert cause in finding.cause
    assert fix in finding.fix
    assert [f.check for f in report.at_least("error")] == [name]
    with pytest.raises(inspect.CheckError, match=f"{loss.__name__} on .*\n  error: {name}: "):
        report.raise_if()


@pytest.mark.parametrize("loss", [losses.Huber(), losses.SparseCategoricalCrossentropy()])
def test_a_loss_of_lossjax_has_no_finding(loss):
    report = inspect.check(loss)
    assert report.at_least("note") == ()
    assert report.severity == "ok"
    report.raise_if("note")
    asked = {finding.check for finding in report.findings if finding.severity == "ok"}
    # `differentiable` answers three questions.
    assert len(asked) == len(probes.EAGER) + len(probes.TRACED) + 2


def test_report_prints():
    pytest.importorskip("rich")
    report = inspect.check(numpy_inside)
    assert repr(report) == "Report(numpy_inside: 1 skipped, 5 ok, 1 note, 1 error)"
    assert "Use jax.numpy in place" in " ".join(str(report).split())
    assert "TracerArrayConversionError" in report._repr_html_()
    with pytest.raises(KeyError):
        report["weather"]
    with pytest.raises(ValueError, match="severity must be one of"):
        report.at_least("bad")


def case(loss, domain="real", data=None):
    t, p = testing.draw(domain, (6, 4)) if data is None else data
    values = values_of(loss)
    return Case(loss, values, t, p, np.asarray(values(*map(jnp.asarray, (t, p)))))


def ask(probe, loss, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (finding,) = probe(case(loss, *args))
    return finding.severity, finding.cause


class Standardised(lossjax.Loss):
    """Divides by a statistic of the batch."""

    def call(self, y_true, y_pred):
        return jnp.mean((y_true - y_pred) ** 2, axis=-1) / jnp.mean(y_pred**2)


class Static(lossjax.Loss):
    scale: float = lossjax.static(default=2.0)

    def call(self, y_true, y_pred):
        return self.scale * jnp.mean(jnp.abs(y_true - y_pred), axis=-1)


class Branching(lossjax.Loss):
    scale: float = 2.0

    def call(self, y_true, y_pred):
        return jnp.mean(y_true - y_pred if self.scale > 1 else y_pred, axis=-1)


@jax.custom_vjp
def absolute(e):
    return jnp.abs(e)


absolute.defvjp(lambda e: (jnp.abs(e), e), lambda e, g: (g * 2 * jnp.sign(e),))


def doubled_slope(y_true, y_pred):
    return jnp.mean(absolute(y_true - y_pred), axis=-1)


kept = []


def keeping(y_true, y_pred):
    kept.append(y_pred)
    return jnp.mean((y_true - y_pred) ** 2, axis=-1)


def centred(y_true, y_pred):
    return jnp.mean((y_true - y_pred + jnp.mean(y_pred, 0)) ** 2, axis=-1)


def sample_by_sample(y_true, y_pred):
    return jnp.stack([jnp.mean(jnp.abs(t - p)) for t, p in zip(y_true, y_pred, strict=True)])


def by_labels(y_true, y_pred):
    return jnp.mean((y_true - y_pred) ** 2, axis=-1) / jnp.sum(y_true**2)


def wrong_axis(y_true, y_pred):
    return jnp.mean((y_true - y_pred) ** 2, axis=0)


ANSWERS = [
    (shape.per_sample, wrong_axis, "error", "the axis of the samples is reduced"),
    (shape.per_sample, squared, "note", "no axis is reduced"),
    (shape.per_sample, losses.Dice(), "note", "One number for the whole batch of 6"),
    (shape.order, lambda t, p: -distance(t, p), "warning", "being right costs more"),
    (shape.broadcasting, distance, "note", "every truth meets every prediction"),
    (shape.broadcasting, losses.mean_squared_error, "ok", "aligned or refused"),
    (batch.neighbours, Standardised(), "warning", "predictions of the others"),
    (batch.accumulation, Standardised(), "warning", "do not add up"),
    (batch.accumulation, scalar_mean, "warning", "do not add up"),
    (batch.accumulation, losses.Circle(), "note", "refused"),
    (batch.masked, Standardised(), "warning", "changes the loss"),
    (batch.masked, centred, "warning", "changes the loss"),
    (batch.masked, scalar_mean, "skipped", "no values per sample"),
    (batch.neighbours, by_labels, "warning", "another loss among 1"),
    (transform.memory, sample_by_sample, "warning", "grows with the number of samples"),
    (transform.jit, keeping, "warning", "beyond the call"),
    (transform.traces, distance, "ok", "Traced 0 times for 0 shapes"),
    (batch.empty, scalar_mean, "note", "NaN: 0 / 0"),
    (transform.traces, Static(), "warning", "Static numbers: scale"),
    (transform.traces, Branching(), "warning", "TracerBoolConversionError"),
    (transform.vmap, lambda t, p: jnp.mean(t - p, axis=1 if p.ndim == 2 else 0), "ok", "same"),
    (derivative.slope, doubled_slope, "warning", "By differences"),
    (precision.half, squared, "note", "overflows at an error of 300"),
    (precision.float64, lambda t, p: jnp.mean((1e4 + t - p) - 1e4, -1), "warning", "ulps"),
]


@pytest.mark.parametrize(("probe", "loss", "severity", "words"), ANSWERS)
def test_answers(probe, loss, severity, words):
    data = testing.sample(loss) if isinstance(loss, (losses.Circle, losses.Dice)) else None
    data = data and tuple(x[:6] for x in data)
    found = ask(probe, loss, "real", data)
    assert found[0] == severity
    assert words in found[1]


GRADIENTS = [
    (lambda t, p: jnp.mean(jnp.abs(t - jnp.round(p)), -1), "gradient", "error", "Zero everywhere"),
    (lambda t, p: jnp.mean(jnp.clip((t - p) ** 2, 3, 9), -1), "gradient", "warning", "Zero at"),
    (lambda t, p: jnp.mean(jnp.sqrt(t - p), -1), "gradient", "error", "NaN or infinite"),
    (doubled_slope, "jvp", "warning", "No forward mode"),
    (lambda t, p: jnp.mean(jnp.abs(t - p), -1), "hessian", "note", "derivative is 0"),
    (lambda t, p: 0 * p, "gradient", "note", "as the loss is"),
]


@pytest.mark.parametrize(("loss", "name", "severity", "words"), GRADIENTS)
def test_gradients(loss, name, severity, words):
    found = {f.check: f for f in derivative.differentiable(case(loss))}
    assert found[name].severity == severity
    assert words in found[name].cause


@pytest.mark.parametrize(
    ("loss", "domain", "severity", "words"),
    [
        (lambda t, p: jnp.mean(jnp.log(1 + jnp.exp(p)) - t * p, -1), "binary logits", "error", "1"),
        (lambda t, p: jnp.mean(jnp.exp(p) - t * p, -1), "real", "note", "±10000: value inf"),
        (lambda t, p: -jnp.sum(t * jnp.log(p), -1), "class", "error", "all mass on the first"),
        (lambda t, p: 1 - 2 * jnp.sum(t * p, -1) / jnp.sum(t + p, -1), "region", "error", "= 0: v"),
        (lambda t, p: -jnp.sum(t * jax.nn.log_softmax(p), -1), "class logits", "note", "wrong"),
        (lambda t, p: jnp.mean(jnp.where(t > 0, 0.5, -p), -1), "binary logits", "ok", "7 edges"),
        (lambda t, p: jnp.var(p, -1, ddof=1), "real", "error", "one class or column: value NaN"),
        (losses.KLDivergence(), "distribution", "ok", "finite at 5 edges"),
    ],
)
def test_edges(loss, domain, severity, words):
    found = ask(derivative.edges, loss, domain)
    assert found[0] == severity
    assert words in found[1]


def test_memory_of_pairs():
    def pairs(y_true, y_pred):
        return jnp.mean(jnp.abs(y_pred[:, None] - y_pred[None]), axis=(1, 2))

    (finding,) = transform.memory(case(pairs, "real"))
    assert finding.severity == "note"


def torch_like(logits, labels):
    return -np.asarray(logits)[np.arange(len(labels)), np.asarray(labels)]


def test_arguments_in_the_order_of_other_libraries():
    report = inspect.check(torch_like, *testing.draw("label logits"))
    assert report["argument order"].severity == "error"
    assert "(logits, labels)" in report["argument order"].cause
    assert report["neighbours"].severity == "ok"


def test_what_cannot_be_called():
    report = inspect.check(lambda *args: torch_like(*args), *testing.draw("label logits"))
    assert "swapped it runs" in report["call"].fix
    assert "Returns tuple" in inspect.check(lambda t, p: (t, p))["call"].cause
    calls = itertools.count()
    report = inspect.check(lambda t, p: jnp.mean((t - p) ** 2, -1) + next(calls))
    assert "Two calls" in report["call"].cause
    data = np.zeros((3, 2), "float32"), np.array([[0, 1], [2, np.nan], [4, 5]], "float32")
    found = inspect.check(numpy_inside, *data)
    assert "y_pred is NaN or infinite at [1, 1]" in found["data"].cause
    assert "call" not in {finding.check for finding in found.findings}
    found = inspect.check(lambda t, p: jnp.log(p - 1)[:, 0], *data)
    assert "1 of 2 values are NaN or infinite, the first at [0]" in found["call"].cause


def test_errors():
    with pytest.raises(TypeError, match="loss must be a Loss"):
        inspect.check(None)
    with pytest.raises(ValueError, match="2 samples at least"):
        inspect.check("mse", [[1.0]], [[1.0]])
    with pytest.raises(
        TypeError, match=r"must be a single array, or several .* got tuple.*lambda y_true, hidden"
    ):
        inspect.check(losses.LinearCrossEntropy(), [1], ([[1.0]], [[1.0, 2.0]]))


def test_a_loss_of_two_inputs_as_its_error_says():
    labels, hidden, kernel = np.arange(3), np.eye(3, 2, dtype="float32"), np.eye(2, 4)
    loss = losses.LinearCrossEntropy(reduction=None)
    found = ask(batch.neighbours, lambda t, h: loss(t, (h, kernel)), None, (labels, hidden))
    assert found == ("ok", "Each value depends on its own sample alone.")


def test_of_many_samples_the_first_are_asked_everything():
    t, p = np.zeros((3000, 1), "float32"), np.ones((3000, 1), "float32")
    p[2500] = -1  # the first that has no logarithm

    def logarithm(y_true, y_pred):
        return (jnp.log(y_pred) - y_true)[:, 0] ** 2

    report = inspect.check(logarithm, t, p)
    assert report["all samples"].cause == "NaN or infinite value at sample 2500."
    # (N,) against (N, 1) makes N² values: of those of 1024 samples alone.
    crossed = inspect.check(lambda t, p: np.asarray(t) - np.asarray(p), t[:, 0], p)
    assert "(1024, 1024)" in crossed["broadcasting"].cause


def test_a_loss_for_one_batch_size():
    report = inspect.check(lambda t, p: jnp.mean((t - p).reshape(6, 4) ** 2, -1), *DATA)
    assert "6 samples give (6,), but 5 raise" in report["per sample"].cause
    assert report["gradient"].severity == "ok"


def test_progress_is_for_terminals(monkeypatch, capsys):
    pytest.importorskip("rich")
    inspect.check(numpy_inside, *DATA)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    inspect.check(numpy_inside, *DATA)
    captured = capsys.readouterr()
    assert "check numpy_inside" in captured.err
    assert captured.out == ""


def test_without_rich_the_findings_are_there_and_the_table_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    report = inspect.check(numpy_inside, *DATA)
    assert report["jit"].severity == "error"
    with pytest.raises(ImportError, match=r"pip install 'lossjax\[inspect\]'"):
        str(report)
