"""Every loss from its definition at 220 digits, and at what size float32 has to round it.

Written from the formulas, nothing of lossjax: no stable rearrangement is needed at 220 digits,
and derivatives are central differences, which on a kink give the middle of its two sides.
"""

import functools
import itertools

import mpmath
import numpy as np
from mpmath import mp

DIGITS = 220
STEP = mpmath.mpf("1e-90")  # of the entry; where an entry is 0, the step itself

# The constants that a float32 computation clips with.
EPS = mpmath.mpf(float(np.float32(1e-7)))
TOP = mpmath.mpf(float(np.float32(1 - 1e-7)))  # 1 - 2^-23


def mean(terms):
    return mp.fsum(terms) / len(terms)


def dot(a, b):
    return mp.fdot(a, b)


def clip(x, low, high):
    return min(max(x, low), high)


def errors(t, p):
    return [b - a for a, b in zip(t, p, strict=True)]


# --- regression ---------------------------------------------------------------------------------


def mean_squared_error(t, p):
    return mean([e**2 for e in errors(t, p)])


def mean_absolute_error(t, p):
    return mean([abs(e) for e in errors(t, p)])


def mean_absolute_percentage_error(t, p):
    return 100 * mean([abs(e) / max(abs(a), EPS) for a, e in zip(t, errors(t, p), strict=True)])


def mean_squared_logarithmic_error(t, p):
    logs = [[mp.log(1 + max(x, EPS)) for x in xs] for xs in (t, p)]
    return mean_squared_error(*logs)


def huber(t, p, delta=1.0):
    def of(e):
        return e**2 / 2 if e <= delta else delta * (e - delta / 2)

    return mean([of(abs(e)) for e in errors(t, p)])


def log_cosh(t, p):
    return mean([mp.log(mp.cosh(e)) for e in errors(t, p)])


def cosine_similarity(t, p, axis=-1):
    norms = [max(mp.sqrt(dot(x, x)), EPS) for x in (t, p)]
    return -dot(t, p) / (norms[0] * norms[1])


# --- margins ------------------------------------------------------------------------------------


def margins(t, p):
    binary = all(a in (0, 1) for a in t)
    signs = [2 * a - 1 if binary else a for a in t]
    return [max(1 - a * b, 0) for a, b in zip(signs, p, strict=True)]


def hinge(t, p):
    return mean(margins(t, p))


def squared_hinge(t, p):
    return mean([m**2 for m in margins(t, p)])


def categorical_hinge(t, p):
    negative = max((1 - a) * b for a, b in zip(t, p, strict=True))
    return max(0, 1 + negative - dot(t, p))


# --- probabilities and logits -------------------------------------------------------------------


def kl_divergence(t, p):
    t, p = ([clip(x, EPS, 1) for x in xs] for xs in (t, p))
    return mp.fsum(a * mp.log(a / b) for a, b in zip(t, p, strict=True))


def poisson(t, p):
    return mean([b - a * mp.log(b + EPS) for a, b in zip(t, p, strict=True)])


def smooth(t, amount, classes):
    return [a * (1 - amount) + amount / classes for a in t]


def sigmoid(z):
    return 1 / (1 + mp.exp(-z))


def binary_terms(t, p, from_logits):
    """-t log p - (1 - t) log(1 - p) of each entry."""
    if from_logits:
        yes, no = [sigmoid(z) for z in p], [sigmoid(-z) for z in p]
    else:
        yes = [clip(x, EPS, TOP) for x in p]
        no = [1 - x for x in yes]
    return [-a * mp.log(y) - (1 - a) * mp.log(n) for a, y, n in zip(t, yes, no, strict=True)]


def binary_crossentropy(t, p, from_logits=False, label_smoothing=0.0, axis=-1):
    return mean(binary_terms(smooth(t, label_smoothing, 2), p, from_logits))


def binary_focal_crossentropy(
    t,
    p,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
):
    t = smooth(t, label_smoothing, 2)
    wrong = [a * sigmoid(-x) + (1 - a) * sigmoid(x) for a, x in zip(t, p, strict=True)]
    if not from_logits:
        wrong = [a * (1 - x) + (1 - a) * x for a, x in zip(t, p, strict=True)]
    balance = [a * alpha + (1 - a) * (1 - alpha) if apply_class_balancing else 1 for a in t]
    terms = zip(balance, wrong, binary_terms(t, p, from_logits), strict=True)
    # A difference at p = 0 or 1 steps out of the range, where w < 0 has no power.
    return mean([b * max(w, 0) ** gamma * e for b, w, e in terms])


def probabilities(p, from_logits):
    if from_logits:
        top = max(p)  # exp(1e30) has too many digits
        p = [mp.exp(z - top) for z in p]
    total = mp.fsum(p)
    return [x / total if from_logits else clip(x / total, EPS, TOP) for x in p]


def cross_entropy(t, q):
    return -mp.fsum(a * mp.log(b) for a, b in zip(t, q, strict=True) if a)


def categorical_crossentropy(t, p, from_logits=False, label_smoothing=0.0, axis=-1):
    return cross_entropy(smooth(t, label_smoothing, len(t)), probabilities(p, from_logits))


def categorical_focal_crossentropy(
    t, p, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0
):
    alpha = alpha if isinstance(alpha, list) else [alpha] * len(t)
    t, q = smooth(t, label_smoothing, len(t)), probabilities(p, from_logits)
    terms = zip(alpha, t, q, strict=True)
    return -mp.fsum(c * (1 - b) ** gamma * a * mp.log(b) for c, a, b in terms if a)


def sparse_categorical_crossentropy(label, p, from_logits=False, ignore_class=None):
    if label == ignore_class or not 0 <= label < len(p):
        return mp.zero
    return -mp.log(probabilities(p, from_logits)[int(label)])


def categorical_generalized_cross_entropy(label, p, q=0.5):
    return (1 - p[int(label)] ** q) / q


# --- regions ------------------------------------------------------------------------------------


def dice(t, p, axis=None):
    return 1 - 2 * dot(t, p) / (mp.fsum(t) + mp.fsum(p) + EPS)


def tversky(t, p, alpha=0.5, beta=0.5, axis=None):
    overlap = dot(t, p)
    missed, false = dot(t, [1 - b for b in p]), dot(p, [1 - a for a in t])
    return 1 - overlap / (overlap + alpha * missed + beta * false + EPS)


# --- pairs and sequences ------------------------------------------------------------------------


def circle(labels, embeddings, gamma=80.0, margin=0.4):
    """The sum over a batch of unit vectors, given one after the other."""
    width = len(embeddings) // len(labels)
    vectors = [embeddings[i : i + width] for i in range(0, len(embeddings), width)]

    def value(i):
        same, other = [], []
        for j, vector in enumerate(vectors):
            d = max(1 - dot(vectors[i], vector), 0)
            if labels[i] != labels[j]:
                other.append(gamma * max(1 + margin - d, 0) * (1 - margin - d))
            elif i != j:
                same.append(-gamma * max(margin + d, 0) * (margin - d))
        if not same or not other:
            return mp.zero
        return mp.log(1 + mp.fsum(map(mp.exp, same)) * mp.fsum(map(mp.exp, other)))

    return mp.fsum(map(value, range(len(vectors))))


def ctc(labels, logits):
    """All alignments of the labels, one after the other; `logits` step after step."""
    steps = [
        probabilities(logits[i : i + CTC_CLASSES], from_logits=True)
        for i in range(0, len(logits), CTC_CLASSES)
    ]
    paths = alignments(tuple(int(label) for label in labels if label != 0), len(steps))
    return -mp.log(
        mp.fsum(mp.fprod(s[c] for s, c in zip(steps, path, strict=True)) for path in paths)
    )


CTC_CLASSES = 3  # the blank, 0, included


@functools.cache
def alignments(labels, steps):
    """The paths that are `labels` once runs are merged and blanks are dropped."""
    paths = itertools.product(range(CTC_CLASSES), repeat=steps)
    return [p for p in paths if tuple(c for c, _ in itertools.groupby(p) if c) == labels]


FORMULAS = {
    "MeanSquaredError": mean_squared_error,
    "MeanAbsoluteError": mean_absolute_error,
    "MeanAbsolutePercentageError": mean_absolute_percentage_error,
    "MeanSquaredLogarithmicError": mean_squared_logarithmic_error,
    "Huber": huber,
    "LogCosh": log_cosh,
    "CosineSimilarity": cosine_similarity,
    "Hinge": hinge,
    "SquaredHinge": squared_hinge,
    "CategoricalHinge": categorical_hinge,
    "KLDivergence": kl_divergence,
    "Poisson": poisson,
    "BinaryCrossentropy": binary_crossentropy,
    "BinaryFocalCrossentropy": binary_focal_crossentropy,
    "CategoricalCrossentropy": categorical_crossentropy,
    "CategoricalFocalCrossentropy": categorical_focal_crossentropy,
    "SparseCategoricalCrossentropy": sparse_categorical_crossentropy,
    "CategoricalGeneralizedCrossEntropy": categorical_generalized_cross_entropy,
    "Dice": dice,
    "Tversky": tversky,
    "Circle": circle,
    "CTC": ctc,
}


def number(x):
    """What float32 makes of a hyperparameter; choices stay what they are."""
    if isinstance(x, float):
        return mpmath.mpf(float(np.float32(x)))
    return [number(y) for y in x] if isinstance(x, list) else x


def value_and_gradient(name, y_true, y_pred, config):
    """Exact value and gradient with respect to `y_pred` of one sample, as float64."""
    with mp.workdps(DIGITS):
        config = {key: number(x) for key, x in config.items()}
        t = [mpmath.mpf(float(x)) for x in np.ravel(y_true)]
        p = [mpmath.mpf(float(x)) for x in np.ravel(y_pred)]
        t = t if np.ndim(y_true) else t[0]

        def at(i, step):
            return FORMULAS[name](t, [*p[:i], p[i] + step, *p[i + 1 :]], **config)

        steps = [STEP * (abs(x) or 1) for x in p]
        slopes = [(at(i, h) - at(i, -h)) / (2 * h) for i, h in enumerate(steps)]
        return float(at(0, 0)), np.array([float(s) for s in slopes]).reshape(y_pred.shape)


# --- sizes at which float32 rounds: the largest addend of the value, and of each slope ----------
# float64 arrays, a sample each row; None where nothing can cancel. All take (t, p, config).


def largest(*addends):
    return functools.reduce(np.maximum, map(np.abs, addends))


def row_largest(terms):
    return np.max(np.abs(terms), -1)


def lengths(x):
    return np.sqrt(np.sum(x * x, -1, keepdims=True))


def of_cosine(t, p, _):
    u, v, length = t / lengths(t), p / lengths(p), lengths(p)
    value = row_largest(u * v)
    return value, largest(u, value[:, None] * v) / length


def of_categorical_hinge(t, p, _):
    return np.maximum(1, row_largest(p)), None


def of_kl_divergence(t, p, _):
    t, p = np.clip(t, 1e-7, 1), np.clip(p, 1e-7, 1)
    return row_largest(t * np.log(t / p)), None


def of_poisson(t, p, _):
    # p + 1e-7 is rounded before the logarithm: 1 ulp of 1 where that is near 0
    rate = p + 1e-7
    value = largest(p, t * largest(1, np.log(rate)))
    return value[:, 0], largest(1, t / rate)


def binary_parts(t, p, config):
    t = t * (1 - config.get("label_smoothing", 0)) + config.get("label_smoothing", 0) / 2
    if config.get("from_logits"):
        yes, no = np.exp(-np.logaddexp(0, -p)), np.exp(-np.logaddexp(0, p))
        entropy = t * np.logaddexp(0, -p) + (1 - t) * np.logaddexp(0, p)
        return t, yes, no, yes * no, entropy
    yes = np.clip(p, 1e-7, 1 - 1e-7)
    return t, p, 1 - p, 1, -t * np.log(yes) - (1 - t) * np.log1p(-yes)


def of_binary(t, p, config):
    t, yes, no, slope, _ = binary_parts(t, p, config)
    yes, no = (np.maximum(x, 1e-45) for x in (yes, no))
    return None, largest(t * slope / yes, (1 - t) * slope / no)


def of_binary_focal(t, p, config):
    gamma = config.get("gamma", 2.0)
    t, yes, no, slope, entropy = binary_parts(t, p, config)
    wrong = np.maximum(t * no + (1 - t) * yes, 1e-30)
    by_wrong = gamma * wrong ** (gamma - 1) * (1 - 2 * t) * slope * entropy
    yes, no = (np.maximum(x, 1e-30) for x in (yes, no))
    by_entropy = wrong**gamma * slope * largest(t / yes, (1 - t) / no)
    return None, largest(by_wrong, by_entropy)


def class_parts(t, p, config):
    """Smoothed targets, log q, q, d log q_i / dy_i, and the share of the others in it."""
    amount = config.get("label_smoothing", 0)
    t = t * (1 - amount) + amount / t.shape[-1]
    if config.get("from_logits"):
        log_q = p - np.logaddexp.reduce(p, -1, keepdims=True)
        return t, log_q, np.exp(log_q), 1, np.exp(log_q)
    total = np.sum(p, -1, keepdims=True)
    log_q = np.log(np.clip(p / total, 1e-7, 1 - 1e-7))
    inside = (p / total > 1e-7) & (p / total < 1 - 1e-7)
    return t, log_q, np.exp(log_q), inside / p, np.ones_like(p) / total


def rounded_log(log_q):
    """A sum near 1 is rounded before its logarithm: log q has an ulp of 1 at least."""
    return np.maximum(1, np.abs(log_q))


def of_categorical(t, p, config):
    t, log_q, _, own, shared = class_parts(t, p, config)
    mass = np.sum(np.abs(t), -1, keepdims=True)
    # exp(log q) has the rounding of log q
    by_share = mass * shared * (rounded_log(log_q) if config.get("from_logits") else 1)
    return row_largest(t * rounded_log(log_q)), largest(t * own, by_share)


def of_sparse(labels, p, config):
    t = np.float64(labels[:, None] == np.arange(p.shape[-1]))
    if "ignore_class" in config:
        t = t * (labels[:, None] != config["ignore_class"])
    return of_categorical(t, p, config)


def of_categorical_focal(t, p, config):
    t, log_q, q, own, shared = class_parts(t, p, config)
    gamma, a = config.get("gamma", 2.0), t * np.array(config.get("alpha", 0.25))
    u = np.maximum(-np.expm1(log_q), 1e-30)
    first = gamma * u ** (gamma - 1) * q * log_q - u**gamma
    second = gamma * q * u ** (gamma - 2) * (u * (2 + log_q) - (gamma - 1) * q * log_q)
    focal = largest(u**gamma * log_q, first * rounded_log(log_q))
    slope = a * largest(first, second * rounded_log(log_q))
    by_share = row_largest(slope)[:, None] * shared
    if config.get("from_logits"):
        by_share = by_share * rounded_log(log_q)
    return row_largest(a * focal), largest(slope * own, by_share)


def of_region(t, p, alpha, beta):
    total = np.sum(t * p + alpha * t * (1 - p) + beta * p * (1 - t), -1, keepdims=True) + 1e-7
    overlap = np.sum(t * p, -1, keepdims=True)
    by_p = largest(t, alpha * t, beta * (1 - t))
    return np.ones(len(t)), largest(t / total, overlap * by_p / total**2)


def of_circle(t, p, config):
    """Distances are rounded at 1, and enter multiplied by gamma."""
    gamma = config.get("gamma", 80.0)
    return np.full(len(t), gamma), np.full(p.shape, gamma * gamma)


def of_ctc(t, p, _):
    """Sums of probabilities are kept as logarithms, as large as all steps together."""
    steps = np.sum(np.ptp(p, -1), (1, 2))
    return largest(1, steps), np.broadcast_to(largest(1, steps)[:, None, None, None], p.shape)


SIZES = {
    "CosineSimilarity": of_cosine,
    "CategoricalHinge": of_categorical_hinge,
    "KLDivergence": of_kl_divergence,
    "Poisson": of_poisson,
    "BinaryCrossentropy": of_binary,
    "BinaryFocalCrossentropy": of_binary_focal,
    "CategoricalCrossentropy": of_categorical,
    "CategoricalFocalCrossentropy": of_categorical_focal,
    "SparseCategoricalCrossentropy": of_sparse,
    "Dice": lambda t, p, _: of_region(t, p, 0.5, 0.5),
    "Tversky": lambda t, p, c: of_region(t, p, c.get("alpha", 0.5), c.get("beta", 0.5)),
    "Circle": of_circle,
    "CTC": of_ctc,
}


def sizes(name, y_true, y_pred, config, exact):
    """Of the value and of the slopes: the largest addend, no less than the exact result."""
    t, p = np.float64(y_true), np.float64(y_pred)
    addends = SIZES[name](t, p, config) if name in SIZES else (None, None)
    return [np.abs(e) if s is None else largest(e, s) for e, s in zip(exact, addends, strict=True)]
