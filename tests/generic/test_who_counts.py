"""Masks that act inside a loss: pixels of a region, members of pairs, steps of a sequence."""

import json
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lossjax
from lossjax import losses, testing

RNG = np.random.default_rng(0)
TRUE = RNG.integers(0, 2, (4, 3, 5)).astype(np.float32)
PRED = RNG.uniform(size=(4, 3, 5)).astype(np.float32)
PIXELS = RNG.uniform(size=(4, 3, 5)) < 0.7
PIXELS[0, 0, 0] = True
TORCH = json.loads(
    (Path(__file__).parents[1] / "keras" / "reference" / "torch.json").read_text("utf-8")
)

OVERLAPS = [
    cls(**config, axis=axis, **{"reduction": reduction})
    for cls, config in ((losses.Dice, {}), (losses.Tversky, {"alpha": 0.3, "beta": 0.9}))
    for axis, reduction in ((None, "sum_over_batch_size"), ((1, 2), None), ((0, 2), "sum"))
]
overlaps = pytest.mark.parametrize("loss", OVERLAPS, ids=str)


def of_kept_pixels(loss, true, pred, kept):
    """The definition over the pixels of each group, one group after the other, in float64."""
    axes = range(3) if loss.axis is None else [a % 3 for a in loss.axis]
    groups = [i for i in range(3) if i not in axes]
    order = (*groups, *axes)
    count = int(np.prod([true.shape[i] for i in groups]))
    t, p, k = (a.transpose(order).reshape(count, -1) for a in (true, pred, kept))
    values = []
    for t_, p_, k_ in zip(t.astype(float), p.astype(float), k, strict=True):
        t_, p_ = t_[k_], p_[k_]
        both = (t_ * p_).sum()
        if isinstance(loss, losses.Dice):
            values.append(1 - 2 * both / (t_.sum() + p_.sum() + 1e-7))
        else:
            wrong = 0.3 * (t_ * (1 - p_)).sum() + 0.9 * (p_ * (1 - t_)).sum()
            values.append(1 - both / (both + wrong + 1e-7))
    if loss.reduction is None and groups:
        return np.array(values)
    return np.sum(values) if loss.reduction == "sum" else np.mean(values)


@overlaps
def test_a_mask_of_pixels_goes_into_the_sums(loss):
    want = of_kept_pixels(loss, TRUE, PRED, PIXELS)
    ignored = changed(loss, ignore_class=(255, 254))
    labelled = np.where(PIXELS, TRUE, 255).astype(np.float32)
    labelled[~PIXELS] -= np.arange((~PIXELS).sum()) % 2
    poisoned = np.where(PIXELS, PRED, np.nan)
    for found in (
        loss(TRUE, poisoned, mask=PIXELS),
        loss(TRUE, poisoned, sample_weight=PIXELS.astype(np.float32)),
        ignored(labelled, poisoned),
        type(loss).fn(TRUE, poisoned, axis=loss.axis, where=PIXELS, **numbers(loss)),
    ):
        value = np.sum(found) if loss.reduction == "sum" else found
        np.testing.assert_allclose(value, want, rtol=2e-6)
    slope = jax.grad(lambda p: jnp.sum(loss(TRUE, p, mask=PIXELS)))
    assert not slope(poisoned)[~PIXELS].any()
    chex.assert_trees_all_close(slope(poisoned), slope(PRED), rtol=1e-5)


def numbers(loss):
    return {k: getattr(loss, k) for k in ("alpha", "beta") if hasattr(loss, k)}


def changed(loss, **changes):
    config = loss.get_config() | changes
    return type(loss).from_config(config)


@overlaps
def test_weights_of_pixels(loss):
    """As if a pixel were there several times."""
    times = RNG.integers(0, 3, 5)
    times[0] = 1
    weight = np.broadcast_to(np.float32(times), TRUE.shape)
    many = [np.repeat(a, times, axis=2) for a in (TRUE, PRED)]
    chex.assert_trees_all_close(
        loss(TRUE, PRED, sample_weight=weight), loss(*many), rtol=1e-5, atol=1e-6
    )


def test_totals_of_parts_with_masks_merge():
    for loss in (losses.Dice(), losses.Tversky(axis=(0, 2)), losses.Dice(ignore_class=1)):
        parts = [loss.total(TRUE[i], PRED[i], mask=PIXELS[i]) for i in np.split(np.arange(4), 2)]
        whole = loss(TRUE, PRED, mask=PIXELS)
        chex.assert_trees_all_close((parts[0].zero() + sum(parts)).result(), whole, rtol=1e-6)


def test_rows_that_a_mask_takes_out_are_not_there():
    for loss in (losses.Dice(), losses.Tversky(axis=(0, 2)), losses.Dice(axis=-1)):
        rows = np.array([True, False, True, False])
        mask = rows if loss.axis != -1 else np.broadcast_to(rows[:, None], (4, 3))
        got = loss(TRUE, np.where(rows[:, None, None], PRED, np.inf), mask=mask)
        chex.assert_trees_all_close(got, loss(TRUE[rows], PRED[rows]), rtol=1e-6)
    weighed = losses.Dice()(TRUE, PRED, sample_weight=[1, 9, 3, 9], mask=rows)
    chex.assert_trees_all_close(weighed, 2 * losses.Dice()(TRUE[rows], PRED[rows]), rtol=1e-6)


def test_a_value_of_no_pixel_does_not_count():
    kept = PIXELS.copy()
    kept[1] = False
    loss = losses.Dice(axis=(1, 2))
    want = loss(TRUE[[0, 2, 3]], PRED[[0, 2, 3]], mask=kept[[0, 2, 3]])
    chex.assert_trees_all_close(loss(TRUE, PRED, mask=kept), want, rtol=1e-6)
    assert losses.Dice()(TRUE, PRED, mask=np.zeros_like(kept)) == 0
    assert losses.Dice(ignore_class=(0, 1))(TRUE, PRED) == 0


def test_masks_that_fit_neither_are_refused():
    match = r"Dice: mask must have the shape of the inputs, \(4, 3, 5\), or .*; got \(3, 5\)"
    with pytest.raises(ValueError, match=match):
        losses.Dice()(TRUE, PRED, mask=np.ones((3, 5)))
    with pytest.raises(ValueError, match=r"circle: where must have .*\(4,\), .*got \(3,\)"):
        losses.circle([0, 0, 1, 1], np.eye(4), where=[1, 1, 1])


def test_a_masked_embedding_is_in_no_pair():
    loss = losses.Circle(gamma=4.0)
    labels, points = testing.sample(loss, (8, 3))
    rows = np.arange(8) % 3 != 1
    poisoned = np.where(rows[:, None], points, np.nan)
    for options in ({"mask": rows}, {"mask": rows[:, None]}):
        got, slope = jax.jit(jax.value_and_grad(lambda p, o=options: loss(labels, p, **o)))(
            poisoned
        )
        want, of_rows = jax.jit(jax.value_and_grad(lambda p: loss(labels[rows], p)))(points[rows])
        chex.assert_trees_all_close((got, slope[rows]), (want, of_rows), rtol=1e-5)
        assert not slope[~rows].any()
    # A weight is that of the value alone, as in Keras, unless the embedding is none.
    weight = np.float32(rows)
    of_points = jax.jit(jax.value_and_grad(lambda p: loss(labels, p, weight)))
    assert abs(of_points(points)[0] - of_points(poisoned)[0]) > 1e-3
    assert np.isfinite(of_points(poisoned)[1]).all()


def test_a_label_that_does_not_count_does_not_decide_how_hinge_reads_the_others():
    y_true, y_pred = np.float32([[0], [1], [7]]), np.float32([[0.5], [0.5], [0.5]])
    for loss in (losses.Hinge(reduction="sum"), losses.SquaredHinge(reduction="sum")):
        want = loss(y_true[:2], y_pred[:2])
        assert loss(y_true, y_pred, mask=[1, 1, 0]) == want
        y_nan = np.float32([[0], [1], [np.nan]])
        assert loss(y_nan, y_pred, sample_weight=[1, 1, 0]) == want


@pytest.mark.parametrize("given", ["lengths", "where", "class"])
def test_ctc_of_unequal_lengths_is_that_of_torch(given):
    found = {name: np.array(array) for name, array in TORCH["ctc"].items()}
    labels, length, logits = found["labels"], found["label_length"], found["logits"]
    steps = np.arange(logits.shape[1]) < found["logit_length"][:, None]
    poisoned = np.where(steps[..., None], logits, np.nan)

    def values(z):
        if given == "class":
            return losses.CTC(reduction=None)((labels, length), z, mask=steps)
        how = {"where": steps} if given == "where" else {"logit_length": found["logit_length"]}
        return losses.ctc(labels, z, label_length=length, **how)

    with jax.enable_x64(True):
        one = np.ones(len(labels))
        got, slope = jax.jit(lambda z: (values(z), jax.vjp(values, z)[1](one)[0]))(poisoned)
        np.testing.assert_allclose(got, found["values"], rtol=1e-12)
        np.testing.assert_allclose(slope, found["gradient"], rtol=1e-10, atol=1e-14)


def test_ctc_passes_over_a_step_between():
    labels, logits = testing.sample(losses.CTC, (3, 6, 4))
    steps = np.arange(6) != 2
    got = jax.jit(losses.ctc)(labels, logits, where=np.broadcast_to(steps, (3, 6)))
    want = jax.jit(losses.ctc)(labels, logits[:, steps])
    chex.assert_trees_all_close(got, want, rtol=1e-6)
    with pytest.raises(ValueError, match=r"ctc: logit_length must have shape \(3,\), got \(2,\)"):
        losses.ctc(labels, logits, logit_length=[1, 2])


def test_weights_of_labels_are_those_of_torch():
    found = {name: np.array(array) for name, array in TORCH["binary"].items()}
    t, z = found["y_true"], found["logits"]
    weights = {name: found[name] for name in ("pos_weight", "label_weight")}
    with jax.enable_x64(True):
        loss = losses.BinaryCrossentropy(from_logits=True, reduction=None, **weights)
        np.testing.assert_allclose(loss(t, z), found["values"], rtol=1e-12)
        slope = jax.grad(lambda z: loss(t, z).sum())(z)
        np.testing.assert_allclose(slope, found["gradient"], rtol=1e-12)
        p = 1 / (1 + np.exp(-z))
        of_shares = losses.binary_crossentropy(t, p, **weights)
        np.testing.assert_allclose(of_shares, found["values"], rtol=1e-9)
    assert "pos_weight" not in losses.BinaryCrossentropy().get_config()
    again = losses.deserialize(losses.serialize(loss))
    np.testing.assert_array_equal(again.pos_weight, weights["pos_weight"])
    with pytest.raises(ValueError, match=r"pos_weight must be a number, or have .*\(5, 3\), got"):
        losses.binary_crossentropy(t, p, pos_weight=[1.0, 2.0])


def test_several_ignored_classes():
    y_true, y_pred = np.array([0, 1, -100, 2]), np.full((4, 3), 1 / 3)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=[-100, 0], reduction="sum")
    chex.assert_trees_all_close(loss(y_true, y_pred), jnp.float32(2 * np.log(3)), rtol=1e-6)
    assert losses.deserialize(losses.serialize(loss)).ignore_class == (-100, 0)
    hidden, kernel = np.eye(4, 3, dtype=np.float32), np.eye(3, dtype=np.float32)
    fused = lossjax.linear_cross_entropy(y_true, hidden, kernel, ignore_class=(-100, 0))
    one = lossjax.linear_cross_entropy(y_true[[1, 3]], hidden[[1, 3]], kernel)
    chex.assert_trees_all_close(fused, one, rtol=1e-6)
    error, _ = jax.experimental.checkify.checkify(lossjax.checked(loss))(y_true, y_pred)
    assert error.get() is None
    for wrong in ([0.5], "a", ()):
        with pytest.raises(TypeError, match="ignore_class must be None, a whole number or several"):
            losses.sparse_categorical_crossentropy(y_true, y_pred, ignore_class=wrong)
    with pytest.raises(TypeError, match=r"got a traced value. .*mask=y_true != "):
        jax.jit(lambda c: losses.sparse_categorical_crossentropy(y_true, y_pred, ignore_class=c))(1)


def test_a_label_that_does_not_count_may_be_none():
    hidden, kernel = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    labels, rows = np.array([0, 99, 1]), np.array([True, False, True])
    want = lossjax.linear_cross_entropy(labels[rows], hidden[rows], kernel)
    for weights in ({"mask": rows}, {"sample_weight": np.float32(rows)}):
        got = lossjax.linear_cross_entropy(labels, hidden, kernel, **weights)
        chex.assert_trees_all_close(got, want, rtol=1e-6)
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 3\).*got 99 at y_true\[1\]"):
        lossjax.linear_cross_entropy(labels, hidden, kernel, mask=~rows)
    with pytest.raises(ValueError, match=r"got 99 at y_true\[1\]"):
        lossjax.linear_cross_entropy(labels, hidden, kernel, shift=1)
    assert lossjax.linear_cross_entropy(labels[::-1], hidden, kernel, shift=2, mask=[1]) > 0


def test_the_hint_for_a_mask_of_missing_labels():
    y, mask = np.ones((2, 3), np.float32), np.array([[1, 0, 1], [1, 1, 0]])
    with pytest.raises(ValueError, match=r"pass y_true\[\.\.\., None\] and y_pred\[\.\.\., None\]"):
        losses.MeanAbsoluteError()(y, y, mask=mask)
    values = losses.MeanAbsoluteError()(y[..., None], 1 + 2.0 * y[..., None], mask=mask)
    assert values == 2


def test_a_loss_over_pairs_without_call_is_not_silently_told_less():
    """Its function takes no `where`: a masked sample would be a pair of the others."""

    def width(y_true, y_pred):
        return jnp.sum(jnp.abs(y_pred - y_pred.T), -1)

    class _Width(losses.Loss):
        fn = width
        couples = "pairs"

    y = jnp.ones((3, 1))
    assert _Width()(y, y) == 0
    with pytest.raises(TypeError, match="where"):
        _Width()(y, y, mask=jnp.array([True, True, False]))
