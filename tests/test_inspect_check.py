"""`lossjax.inspect.check`: five common mistakes, and what each question answers."""

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
    asked = {finding.check for finding in report.findings}
    # `jit` is asked in between, and `differentiable` answers two questions.
    assert len(asked) == len(probes.EAGER) + len(probes.TRACED) + 2


def test_report_prints():
    pytest.importorskip("rich")
    report = inspect.check(numpy_inside)
    assert repr(report) == "Report(numpy_inside: 5 ok, 1 note, 1 warning, 1 error)"
    assert "Use jax.numpy in place" in " ".join(str(report).split())
    assert "TracerArrayConversionError" in report._repr_html_()
    with pytest.raises(KeyError):
        report["weather"]
    with pytest.raises(ValueError, match="severity must be one of"):
        report.at_least("bad")


def case(loss, domain="real", data=None):
    t, p = map(jnp.asarray, testing.draw(domain, (6, 4)) if data is None else data)
    values = values_of(loss)
    return Case(loss, values, t, p, np.asarray(values(t, p)))


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


def wrong_axis(y_true, y_pred):
    return jnp.mean((y_true - y_pred) ** 2, axis=0)


ANSWERS = [
    (shape.per_sample, wrong_axis, "error", "the axis of the samples is reduced"),
    (shape.per_sample, squared, "note", "no axis is reduced"),
    (shape.per_sample, losses.Dice(), "note", "One number for the whole batch of 6"),
    (shape.order, lambda y_pred, y_true: -y_true * y_pred, "error", "are (y_pred, y_true)"),
    (shape.order, lambda t, p: -distance(t, p), "warning", "being right costs more"),
    (shape.broadcasting, distance, "warning", "every truth meets every prediction"),
    (shape.broadcasting, losses.mean_squared_error, "ok", "aligned or refused"),
    (batch.neighbours, Standardised(), "warning", "another loss alone"),
    (batch.accumulation, Standardised(), "warning", "do not add up"),
    (batch.accumulation, scalar_mean, "warning", "do not add up"),
    (batch.accumulation, losses.Circle(), "note", "refused"),
    (batch.masked, Standardised(), "error", "changes the loss"),
    (batch.empty, scalar_mean, "warning", "NaN: 0 / 0"),
    (transform.traces, Static(), "warning", "Static numbers: scale"),
    (transform.traces, Branching(), "warning", "TracerBoolConversionError"),
    (transform.vmap, lambda t, p: jnp.mean(t - p, axis=1 if p.ndim == 2 else 0), "ok", "same"),
    (derivative.slope, doubled_slope, "warning", "By differences"),
    (precision.half, squared, "warning", "overflows at an error of 300"),
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
    (lambda t, p: jnp.mean(jnp.abs(t - p), -1), "jvp", "note", "second derivative is 0"),
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
        (lambda t, p: jnp.mean(jnp.exp(p) - t * p, -1), "real", "warning", "±10000: value inf"),
        (lambda t, p: -jnp.sum(t * jnp.log(p), -1), "class", "error", "all mass on the first"),
        (losses.KLDivergence(), "distribution", "ok", "finite at 3 edges"),
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


def test_what_cannot_be_called():
    def reversed_labels(logits, labels):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], -1)[:, 0]

    report = inspect.check(reversed_labels, *testing.draw("label logits"))
    assert report["call"].severity == "error"
    assert "swapped it runs" in report["call"].fix
    assert "Returns tuple" in inspect.check(lambda t, p: (t, p))["call"].cause
    data = np.zeros((3, 2), "float32"), np.array([[0, 1], [2, np.nan], [4, 5]], "float32")
    found = inspect.check(numpy_inside, *data)
    assert "y_pred is NaN or infinite at [1, 1]" in found["data"].cause
    assert "first at [1]" in found["call"].cause


def test_errors():
    with pytest.raises(TypeError, match="loss must be a Loss"):
        inspect.check(None)
    with pytest.raises(ValueError, match="2 samples at least"):
        inspect.check("mse", [[1.0]], [[1.0]])
    with pytest.raises(TypeError, match="y_pred must be an array"):
        inspect.check(losses.LinearCrossEntropy(), [1], ([[1.0]], [[1.0, 2.0]]))
