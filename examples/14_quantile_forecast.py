"""Quantile forecasts: next year's sunspots, and whether they fall below as often as they should."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import optax
import statsmodels.api as sm
from flax import nnx

from lossjax import losses, training

LEVELS = np.linspace(0.1, 0.9, 9)
YEARS = 12  # that a forecast sees: a cycle takes about 11
LEARNED = 200


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.hidden = nnx.Linear(YEARS, 16, rngs=rngs)
        self.out = nnx.Linear(16, len(LEVELS), rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.tanh(self.hidden(x)))


def main(output="14_quantile_forecast.png"):
    spots = sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy("float32")
    spots = np.sqrt(spots / 100)  # a quantile of the root is the root of the quantile
    x = np.lib.stride_tricks.sliding_window_view(spots[:-1], YEARS)
    y = spots[YEARS:, None]
    state = training.init(Network(), optax.adam(1e-3))
    loss = losses.Quantile(level=LEVELS.tolist())
    state, _ = training.fit(state, loss, (x[:LEARNED], y[:LEARNED]), epochs=300)

    forecast, truth = training.predict(state, x[LEARNED:]), y[LEARNED:]
    forecast = np.sort(forecast)  # nothing keeps the quantiles in order
    below = np.mean(truth < forecast, 0)
    print("level ", LEVELS.round(1), "\nbelow ", below.round(2), f"\npicture in {output}")

    plt.switch_backend("Agg")
    _, (fan, calibration) = plt.subplots(1, 2, figsize=(11, 4), width_ratios=(2, 1))
    for low in range(4):
        band = forecast[:, low], forecast[:, -1 - low]
        fan.fill_between(range(len(truth)), *band, color="C0", alpha=0.2, linewidth=0)
    fan.plot(truth, "k", label="root of sunspots / 100")
    fan.set_xlabel("year after those that were learned")
    fan.legend()
    calibration.plot([0, 1], [0, 1], "k:")
    calibration.plot(LEVELS, below, "o-")
    calibration.set_xlabel("level")
    calibration.set_ylabel("share of years below the forecast")
    plt.savefig(output)
    return float(np.abs(below - LEVELS).mean())


if __name__ == "__main__":
    main(*sys.argv[1:])
