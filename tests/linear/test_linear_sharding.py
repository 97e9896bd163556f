"""Vocabulary-parallel and partitioned by the compiler, on eight virtual devices."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from dense_linear import dense
from jax import numpy as jnp

import lossjax


def test_vocabulary_in_parts():
    """The value alone: `vmap` has collectives too, but `psum` has another transpose there.

    Of 40 columns 33 are classes: the last part has padding alone but for three. The products are
    in bfloat16.
    """
    rng = np.random.default_rng(0)
    labels, hidden = rng.integers(0, 33, 16), rng.normal(size=(16, 4)).astype("f")
    kernel = rng.normal(size=(4, 40)).astype("f")
    options = {"label_smoothing": 0.2, "compute_dtype": "bfloat16", "classes": 33}
    part = lambda k: lossjax.linear_cross_entropy(  # noqa: E731
        labels, hidden, k, chunk=3, axis_name="vocabulary", **options
    )
    parts = np.stack(np.split(kernel, 4, axis=1))
    found = jax.jit(jax.vmap(part, axis_name="vocabulary"))(parts)
    hidden, kernel = (x.astype(jnp.bfloat16).astype("f") for x in (hidden, kernel))
    want = dense(labels, hidden, kernel[:, :33], label_smoothing=0.2)
    np.testing.assert_allclose(found, np.full(4, want), rtol=1e-5)


@pytest.mark.thorough
def test_equal_to_one_device():
    program = Path(__file__).with_name("sharded_linear.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stdout + done.stderr[-3000:]
