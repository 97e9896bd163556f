"""`lossjax.inspect.plot`, `plot_batch` and `compare`: the numbers that are drawn and shown."""

import io

import numpy as np
import pytest
from jax import numpy as jnp

from cases import ROWS
from lossjax import inspect, losses, testing

pytest.importorskip("matplotlib")


def pixels_of(figure, ax, color):
    """How many pixels of a panel have about this colour."""
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(figure._repr_png_()))[::-1, :, :3]
    box = ax.get_window_extent()
    panel = pixels[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
    return int((np.abs(panel - to_rgb(color)).max(-1) < 0.1).sum())


def is_shown(figure, curves):
    """Whether every one of the first `curves` of a panel leaves ink, and no title is too long."""
    from matplotlib.text import Text

    ends = [*(ax.get_window_extent().x0 for ax in figure.axes[1:]), figure.bbox.x1]
    fit = (
        text.get_window_extent().x1 <= end
        for ax, end in zip(figure.axes, ends, strict=True)
        for text in [*ax.get_children(), ax.xaxis.label]
        if isinstance(text, Text)
    )
    lines = [(ax, line) for ax in figure.axes for line in ax.lines[:curves]]
    return all(pixels_of(figure, ax, line.get_color()) > 50 for ax, line in lines) and all(fit)


EXAMPLES = {testing.domain_of(case.loss).name: case.example() for case in ROWS[::-1]}


@pytest.mark.parametrize("domain", sorted(EXAMPLES))
def test_every_domain_has_a_curve(domain):
    figure = inspect.plot(EXAMPLES[domain])
    for ax in figure.axes:
        assert np.isfinite(ax.lines[0].get_ydata()).all()
    value, slope = (ax.lines[0].get_ydata() for ax in figure.axes[:2])
    x = figure.axes[0].lines[0].get_xdata()
    measured = np.gradient(value.astype(float), x)[1:-1]
    # At a kink the two sides differ, and at the steep end the second difference is coarse.
    near = np.isclose(measured, slope[1:-1], rtol=0.05, atol=0.05 * np.abs(slope).max())
    assert near.mean() > 0.97


def test_a_family_of_curves():
    figure = inspect.plot("Huber", delta=[0.5, 1, 2])
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["delta = 0.5", "delta = 1", "delta = 2"]
    ends = [line.get_ydata()[-1] for line in figure.axes[1].lines]
    np.testing.assert_allclose(ends, [0.5, 1, 2])
    assert is_shown(figure, 3)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_function_of_ones_own():
    def tilted(y_true, y_pred, tau=0.5):
        e = y_true - y_pred
        return jnp.mean(jnp.maximum(tau * e, (tau - 1) * e), axis=-1)

    figure = inspect.plot(tilted, tau=[0.1, 0.9])
    slopes = [line.get_ydata()[[0, -1]] for line in figure.axes[1].lines]
    np.testing.assert_allclose(slopes, [[-0.1, 0.9], [-0.9, 0.1]], rtol=1e-6)


def test_steep_curves_say_that_they_are_cut():
    titles = [ax.get_title(loc="left") for ax in inspect.plot("poisson").axes]
    assert titles[0] == "value"
    assert titles[2] == "curvature, cut off: from 0.0312 to 5e+03"
    steep = inspect.plot("BinaryFocalCrossentropy", gamma=[0, 2])
    assert steep.axes[1].get_title(loc="left") == "gradient, cut off: from -209 to 0"
    low, high = steep.axes[1].get_ylim()
    assert -20 < low < high < 5
    assert is_shown(steep, 2)


def test_a_peak_is_not_cut_off():
    figure = inspect.plot("Circle")
    curvature = figure.axes[2]
    assert curvature.get_title(loc="left") == "curvature"
    assert curvature.get_ylim()[1] > curvature.lines[0].get_ydata().max()


def test_hyperparameters_that_vary_together():
    figure = inspect.plot("Tversky", alpha=[0.2, 0.8], beta=[0.8, 0.2])
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["alpha = 0.2, beta = 0.8", "alpha = 0.8, beta = 0.2"]
    # The gradient just beside the exact prediction: -alpha where the region is missed, then beta.
    slopes = [line.get_ydata()[[199, 201]] for line in figure.axes[1].lines]
    np.testing.assert_allclose(slopes, [[-0.2, 0.8], [-0.8, 0.2]], rtol=0.02)


def test_plot_errors():
    with pytest.raises(ValueError, match=r"one length, got \[1, 2\] numbers for \['alpha', 'beta'"):
        inspect.plot("Tversky", alpha=[1], beta=[1, 2])
    with pytest.raises(ValueError, match=r"must be one of \('delta',\), got 'detla'"):
        inspect.plot("Huber", detla=[1])
    with pytest.raises(ValueError, match="plot: domain must be a Domain or one of"):
        inspect.plot("mse", domain="reel")
    with pytest.raises(ValueError, match="cannot be computed or differentiated"):
        inspect.plot(lambda t, p: np.abs(t - p))


def test_batch():
    y_true, y_pred = np.zeros((50, 2), "float32"), np.full((50, 2), 0.1, "float32")
    y_pred[7], y_pred[9] = 5, 3
    figure = inspect.plot_batch("mse", y_true, y_pred)
    histogram, shares, both = figure.axes
    assert sum(bar.get_height() for bar in histogram.patches) == 50
    loss = shares.lines[0].get_ydata()
    np.testing.assert_allclose(loss[:2], np.array([25, 34]) / (34 + 48 * 0.01), rtol=1e-5)
    assert both.get_xlabel().startswith("size of the term; largest at 7; 9; ")
    masked = np.ones(50, bool)
    masked[7] = False
    hidden = inspect.plot_batch("mse", y_true, y_pred, mask=masked)
    assert "largest at 9; " in hidden.axes[2].get_xlabel()
    assert pixels_of(figure, shares, shares.lines[0].get_color()) > 50
    assert pixels_of(figure, both, both.collections[1].get_facecolor()[0]) > 50
    with pytest.raises(ValueError, match="must give one value per sample"):
        inspect.plot_batch(losses.Dice())


def test_compare():
    y_true, y_pred = np.zeros((3, 1), "float32"), np.array([[0.5], [1], [2]], "float32")

    def off(y_true, y_pred):
        values = losses.mean_squared_error(y_true, y_pred)
        return values.at[1].multiply(1 + 2**-22)

    found = inspect.compare("mse", off, y_true, y_pred)
    gap = found["values"]
    assert (gap.position, gap.unequal, gap.size) == ("[1]", 1, 3)
    assert gap.ulps == 2
    assert gap.largest == 2**-22
    assert found["gradient"].position == "[1, 0]"
    assert inspect.compare("mse", "mse", y_true, y_pred)["gradient"].largest == 0
    assert "of float32" in str(found)


def test_compare_beside_keras_and_without_a_gradient():
    keras = pytest.importorskip("keras")
    found = inspect.compare(losses.Huber(), keras.losses.Huber())
    assert found["result"].ulps <= 4
    assert found["gradient"].ulps <= 16
    plain = inspect.compare("mae", lambda t, p: np.abs(np.asarray(t) - np.asarray(p)).mean(-1))
    assert plain["values"].ulps <= 4
    with pytest.raises(KeyError):
        plain["gradient"]


def test_compare_nan_and_shapes():
    def broken(y_true, y_pred):
        return losses.mean_squared_error(y_true, y_pred).at[0].set(jnp.nan)

    assert inspect.compare("mse", broken)["values"].largest == np.inf
    with pytest.raises(ValueError, match="results of one shape"):
        inspect.compare("mse", lambda t, p: p)
