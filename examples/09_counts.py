"""Counts with the Poisson loss: visits to a doctor, fitted as statsmodels fits them."""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
import statsmodels.api as sm
from jax import numpy as jnp
from scipy.special import gammaln

from lossjax import losses


def main(output="09_counts.png"):
    data = sm.datasets.randhie.load_pandas()
    x, y = sm.add_constant(data.exog.to_numpy(float)), data.endog.to_numpy(float)
    want = sm.Poisson(y, x).fit(disp=False).llf
    with jax.enable_x64(True):
        x, y, loss = jnp.asarray(x), jnp.asarray(y), losses.Poisson(reduction="sum")
        scale = jnp.abs(x).max(0)

        def objective(weights):  # the columns differ in size by a factor of a hundred
            return loss(y[:, None], jnp.exp(x / scale @ weights)[:, None]) / len(y)

        solver = optax.lbfgs()
        value_and_grad = optax.value_and_grad_from_state(objective)

        @jax.jit
        def step(weights, state):
            value, grad = value_and_grad(weights, state=state)
            updates, state = solver.update(
                grad, state, weights, value=value, grad=grad, value_fn=objective
            )
            return optax.apply_updates(weights, updates), state, jnp.linalg.norm(grad)

        weights = jnp.zeros(x.shape[1])
        state, slope = solver.init(weights), 1.0
        while slope > 1e-9:
            weights, state, slope = step(weights, state)
        rate = np.asarray(jnp.exp(x / scale @ weights))
    y = np.asarray(y)
    found = float(np.sum(y * np.log(rate) - rate - gammaln(y + 1)))

    plt.switch_backend("Agg")
    plt.figure()
    plt.hist([y, np.random.default_rng(0).poisson(rate)], range(20), label=["observed", "fitted"])
    plt.legend()
    plt.savefig(output)
    print(f"Log-likelihood {found:.6f}, of statsmodels {want:.6f}; picture in {output}.")
    return found, want


if __name__ == "__main__":
    main(*sys.argv[1:])
