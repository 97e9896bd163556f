"""Survival with the Cox loss: patients after a heart transplant, fitted as by statsmodels."""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.api as sm
from jax import numpy as jnp

from lossjax import losses


def main(output="15_survival.png"):
    data = sm.datasets.heart.load_pandas().data
    time, died, age = (data[name].to_numpy(float) for name in ("survival", "censors", "age"))
    model = sm.PHReg(time, age, status=died, ties="efron").fit()
    want = float(model.params[0]), float(model.bse[0])

    with jax.enable_x64(True):
        truth, x = losses.Survival(time, died), jnp.asarray(age)
        loss = losses.CoxPH(reduction="sum")

        def objective(slope):
            return loss(truth, slope * x)

        derivatives = jax.jit(lambda s: (jax.grad(objective)(s), jax.hessian(objective)(s)))
        slope, step, curvature = jnp.zeros(()), 1.0, 1.0
        while abs(step) > 1e-12:  # Newton's
            gradient, curvature = derivatives(slope)
            step = gradient / curvature
            slope -= step
        found = float(slope), float(1 / jnp.sqrt(curvature))
        near = np.linspace(-0.02, 0.12, 101)
        curve = jax.vmap(objective)(near) - objective(slope)

    plt.switch_backend("Agg")
    plt.figure()
    plt.plot(near, curve, label="lossjax: -log likelihood above its least")
    plt.axhline(1.92, color="k", linewidth=0.5)
    plt.axvspan(*model.conf_int()[0], alpha=0.2, label="statsmodels: 95 % interval")
    plt.xlabel("log-risk a year of age")
    plt.legend()
    plt.savefig(output)
    print(f"log-risk a year {found[0]:.6f} ± {found[1]:.6f}, of statsmodels {want}; see {output}")
    return found, want


if __name__ == "__main__":
    main(*sys.argv[1:])
