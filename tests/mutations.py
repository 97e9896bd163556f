"""Whether the tests notice: errors planted one at a time, each of which `make test` must catch.

    python tests/mutations.py            # all, 15 seconds each
    python tests/mutations.py huber ctc  # those whose words hold one of these

Every error is planted in a copy of the tree, in which a part of `make test` is then run, that
part which `ARGS="-k ..."` selects: what it catches the whole catches too. An error whose text is
not found in the source any more is one that has to be written anew.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests/generic", "tests/losses", "tests/safety", "tests/keras")


class Error(NamedTuple):
    """`old` becomes `new` in a file of lossjax; `tests` selects what is run, as `-k` does."""

    words: str
    path: str
    old: str
    new: str
    tests: str


ERRORS = (
    Error(
        "mse: a mean over the wrong axis",
        "losses/regression.py",
        "plain_mean(_squared_error(y_true, y_pred), -1)",
        "plain_mean(_squared_error(y_true, y_pred), 0)",
        "MeanSquaredError",
    ),
    Error(
        "mae: a gradient of one sign at ties",
        "math/elementwise.py",
        "@partials(lambda dx, _, x: dx * jnp.sign(x))\ndef absolute",
        "@partials(lambda dx, _, x: dx * jnp.where(x < 0, -1, 1))\ndef absolute",
        "MeanAbsoluteError",
    ),
    Error(
        "mape: the floor of the divisor",
        "losses/regression.py",
        "scale = floored(EPSILON, absolute(t))",
        "scale = floored(1e-6, absolute(t))",
        "MeanAbsolutePercentageError",
    ),
    Error(
        "msle: y_true is not clipped",
        "losses/regression.py",
        "floored(EPSILON, p), floored(EPSILON, t)",
        "floored(EPSILON, p), t",
        "MeanSquaredLogarithmicError",
    ),
    Error(
        "huber: a gradient off by 1 %",
        "math/elementwise.py",
        "lambda de, _, e, delta: de * jnp.clip(e, -delta, delta)",
        "lambda de, _, e, delta: 1.01 * de * jnp.clip(e, -delta, delta)",
        "Huber",
    ),
    Error(
        "huber: no gradient by delta",
        "math/elementwise.py",
        "lambda dd, _, e, delta: dd * finite(jnp.maximum(absolute(e) - delta, 0))",
        "lambda dd, _, e, delta: 0 * dd",
        "Huber",
    ),
    Error(
        "log_cosh: log 2 is forgotten far away",
        "math/elementwise.py",
        "log1p(m * (m / (2 + 2 * m))) + (a - near)",
        "log1p(m * (m / (2 + 2 * m))) + 1.001 * (a - near)",
        "LogCosh",
    ),
    Error(
        "poisson: the epsilon in the logarithm",
        "losses/distribution.py",
        "p - t * jnp.log(p + EPSILON)",
        "p - t * jnp.log(p)",
        "Poisson",
    ),
    Error(
        "kl: the sign of the gradient by y_pred",
        "math/elementwise.py",
        "lambda db, _, a, b: db * -(a / b)",
        "lambda db, _, a, b: db * (a / b)",
        "KLDivergence",
    ),
    Error(
        "hinge: labels 0 are not read as -1",
        "losses/hinge.py",
        "jnp.max(looped(jnp.abs(t * t - t)), initial=0) == 0",
        "jnp.max(looped(jnp.abs(t * t - t)), initial=0) < 0",
        "Hinge",
    ),
    Error(
        "squared hinge: half of its gradient",
        "losses/hinge.py",
        "return dx * m + dx * m",
        "return dx * m",
        "SquaredHinge",
    ),
    Error(
        "categorical hinge: the margin",
        "losses/hinge.py",
        "floored(0.0, settle(1 + rival - positive))",
        "floored(0.0, settle(0.99 + rival - positive))",
        "CategoricalHinge",
    ),
    Error(
        "bce: smoothing over the wrong number of classes",
        "losses/binary.py",
        "u = smoothed(t, smoothing, 2), smoothed(1 - t, smoothing, 2)\n    if not",
        "u = smoothed(t, smoothing, 2), smoothed(1 - t, smoothing, 3)\n    if not",
        "BinaryCrossentropy",
    ),
    Error(
        "bce: no clip of probabilities",
        "math/elementwise.py",
        "return between(EPSILON, 1 - EPSILON, x)",
        "return x",
        "BinaryCrossentropy",
    ),
    Error(
        "bce from logits: the gradient by the label",
        "math/entropy.py",
        "lambda dt, _, log1p, t, u, z: dt * finite(jax.nn.softplus(-z))",
        "lambda dt, _, log1p, t, u, z: dt * finite(jax.nn.softplus(z))",
        "BinaryCrossentropy",
    ),
    Error(
        "focal: alpha of the other class",
        "losses/binary.py",
        "focal * (t * alpha + u * (1 - alpha))",
        "focal * (u * alpha + t * (1 - alpha))",
        "BinaryFocal",
    ),
    Error(
        "softmax: the derivative forgets that shares sum to 1",
        "math/softmax.py",
        "(slope(0, *fresh) - total * share)",
        "slope(0, *fresh)",
        "CategoricalCrossentropy",
    ),
    Error(
        "shares: their sum has no derivative",
        "math/softmax.py",
        "(direct - total * finite(inverse))",
        "direct",
        "CategoricalCrossentropy",
    ),
    Error(
        "sparse: a label out of range counts",
        "math/softmax.py",
        "jnp.where(_exist(labels, z, axis), log_sum - below, 0)",
        "log_sum - below",
        "SparseCategorical or integers",
    ),
    Error(
        "sparse: ignore_class does not leave the mean",
        "losses/categorical.py",
        "        if self.ignore_class is None:\n            return values",
        "        if True:\n            return values",
        "SparseCategorical or ignored",
    ),
    Error(
        "generalized: no digits near 1",
        "math/entropy.py",
        "return -jnp.expm1(q * jnp.log(p)) / q",
        "return (1.0001 - jnp.exp(q * jnp.log(p))) / q",
        "Generalized",
    ),
    Error(
        "cosine: the derivative by the norm",
        "math/angle.py",
        "terms.append(by_x * (y - x * jnp.where(p < floor, along, 0)))",
        "terms.append(by_x * y)",
        "CosineSimilarity",
    ),
    Error(
        "circle: a sample is its own positive",
        "losses/similarity.py",
        "if remove_diagonal else None",
        "if not remove_diagonal else None",
        "Circle",
    ),
    Error(
        "circle: a masked sample stays a reference",
        "losses/similarity.py",
        "exists = where[:, None] & (True if exists is None else exists[None])",
        "exists = where[:, None] & True",
        "Circle",
    ),
    Error(
        "dice: no epsilon below",
        "losses/segmentation.py",
        "(sums.first + sums.second + EPSILON)",
        "(sums.first + sums.second)",
        "Dice",
    ),
    Error(
        "tversky: false alarms and misses exchanged",
        "losses/segmentation.py",
        "both + alpha * missed + beta * false",
        "both + beta * missed + alpha * false",
        "Tversky",
    ),
    Error(
        "ctc: equal neighbours without a blank",
        "losses/sequence.py",
        "_log_add(blank[1:], emit + no_skip)",
        "_log_add(blank[1:], emit)",
        "CTC",
    ),
    Error(
        "reduce: the mask does not leave the divisor",
        "core/reduce.py",
        "count = jnp.sum(mask, dtype=dtype) * (weighed.size / max(1, mask.size))",
        "count = count + 0 * jnp.sum(mask, dtype=dtype)",
        "MeanSquaredError or test_reduce",
    ),
    Error(
        "reduce: a mean over nothing is 0 / 0",
        "core/reduce.py",
        "return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))",
        "return a / b",
        "MeanSquaredError or test_reduce",
    ),
    Error(
        "disarm: no guard for masked inputs",
        "core/loss.py",
        "return reduce.disarmed(inputs, alive, axis, guarded)",
        "return inputs",
        "LogCosh or CategoricalCrossentropy",
    ),
    Error(
        "total: sums of weights are averaged",
        "core/reduce.py",
        "Total(_divide(total, divisor), None) if shared else Total(total, divisor)",
        "Total(_divide(total, divisor), None)",
        "MeanSquaredError",
    ),
    Error(
        "config: a field is lost",
        "core/loss.py",
        '            config[field.name] = value.tolist() if hasattr(value, "tolist") else value',
        '            if field.name != "delta":\n                config[field.name] = value',
        "Huber",
    ),
    Error(
        "couples: CosineSimilarity over the batch merges",
        "core/loss.py",
        'return "pairs" if is_of_batch and ndim > 1 else declared',
        "return declared",
        "CosineSimilarity or test_coupling",
    ),
)


def planted(error: Error, tree: Path) -> None:
    path = tree / "lossjax" / error.path
    source = path.read_text("utf-8")
    if source.count(error.old) != 1:
        found = source.count(error.old)
        raise SystemExit(f"{error.words}: need {error.old!r} once in {path.name}, got it {found}x.")
    path.write_text(source.replace(error.old, error.new), "utf-8")


def caught(error: Error) -> str | None:
    """The first test that fails; None if none does."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", ".hypothesis")
        shutil.copytree(ROOT, tree, ignore=ignored)
        planted(error, tree)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not thorough"]
        command += ["-k", error.tests, "--no-header", *FOLDERS]
        compiled = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "d" / "xla")}
        done = subprocess.run(
            command, cwd=tree, capture_output=True, text=True, env=os.environ | compiled
        )
    lines = [x for x in done.stdout.splitlines() if x.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 1, 2) or (done.returncode == 2 and not lines):
        raise SystemExit(f"{error.words}: no tests were run.\n{done.stdout[-500:]}{done.stderr}")
    return lines[0].split(" - ")[0] if lines else None


def main(wanted: list[str]) -> int:
    chosen = [e for e in ERRORS if not wanted or any(word in e.words for word in wanted)]
    missed = 0
    for number, error in enumerate(chosen, 1):
        start = time.monotonic()
        test = caught(error)
        missed += test is None
        took = f"{time.monotonic() - start:.0f} s"
        print(f"{number}/{len(chosen)} {error.words}: {test or 'NOT CAUGHT'} ({took})", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} errors caught")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
