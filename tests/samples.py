"""Inputs over the whole range of each domain: (y_true, y_pred), a sample each row."""

import zlib

import numpy as np

from lossjax import testing

CLASSES = 5
STEP_CLASSES = 3  # of sequences; the blank, 0, included


def neighbours(x, ulps):
    """Floats so many ulps above `x`."""
    return (x.view(np.int32) + np.int32(ulps)).view(np.float32)


def pairs(a, b):
    return [np.float32(x).reshape(-1, 1) for x in np.meshgrid(a, b)]


def joined(*samples):
    return [np.concatenate(x) for x in zip(*samples, strict=True)]


def magnitudes(rng, low, high, n):
    return np.float32(10.0 ** rng.uniform(low, high, n))


def real(rng):
    """Errors from 1e-30 to 1e18, dense near 0.3, 1, 1.5 and 5, and by a few ulps."""
    grid = [0, 1e-30, 1e-10, 1e-4, 0.1, 1, 3, 1e3, 1e8, 1e18]
    grid = [*grid, *np.negative(grid[1:])]
    size = np.concatenate([magnitudes(rng, -30, 18, 100), magnitudes(rng, -4, 2, 200)])
    bends = [np.float32(rng.normal(x, 0.02 * x, 40)) for x in (0.3, 1, 1.5, 5)]
    error = np.concatenate([size, *bends])
    t = np.float32(rng.normal(size=200))
    close = neighbours(t, rng.choice([1, 2, 5, 100, 10000], 200))
    zero = np.zeros(error.size, np.float32)
    signed = error * np.float32(rng.choice([-1, 1], error.size))
    return joined(pairs(grid, grid), (zero[:, None], signed[:, None]), (t[:, None], close[:, None]))


def positive(rng):
    grid = [-1, 0, 1e-30, 1e-10, 1e-7, 1e-3, 0.1, 1, 2, 1e4, 1e10, 1e30]
    t, p = magnitudes(rng, -8, 8, 300), magnitudes(rng, -8, 8, 300)
    near = neighbours(t, rng.choice([-100, -2, -1, 1, 2, 100, 10000], 300))
    return joined(pairs(grid, grid), (t[:, None], p[:, None]), (t[:, None], near[:, None]))


def count(rng):
    rates = np.concatenate([magnitudes(rng, -30, 18, 60), magnitudes(rng, -2, 2, 60), [0, 1]])
    return pairs(rates, [0, 1, 2, 7, 1000])


def sign(rng):
    scores = np.concatenate([magnitudes(rng, -30, 18, 60), rng.normal(size=200), [0, 1]])
    near_one = neighbours(np.ones(6, np.float32), np.array([-100, -2, -1, 1, 2, 100]))
    scores = np.concatenate([scores, near_one])
    return pairs([*scores, *-scores], [-1, 0, 1])[::-1]


def unit_interval(rng):
    p = np.concatenate([magnitudes(rng, -30, 0, 40), rng.uniform(size=80), [0, 1e-7, 0.5, 1]])
    return np.concatenate([p, 1 - 2.0 ** -np.arange(1, 25), 1 - magnitudes(rng, -6.5, 0, 40)])


def binary(rng):
    return pairs([0, 0.3, 1], unit_interval(rng))


def logits(rng):
    z = np.concatenate([magnitudes(rng, -30, 4, 40), rng.normal(0, 3, 60), [80, 100, 1e4]])
    return np.concatenate([z, -z])


def binary_logits(rng):
    return pairs([0, 0.3, 1], logits(rng))


def rows(rng, n):
    return np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, n)]


def shares(rng, n):
    """Probabilities: mild ones, one of nearly 1, and unnormalised ones from 1e-6 to 1e6."""
    p = rng.dirichlet(np.ones(CLASSES), n)
    sure = rows(rng, n) + rng.dirichlet(np.ones(CLASSES), n) * magnitudes(rng, -5, 0, (n, 1))
    wild = magnitudes(rng, -6, 6, (n, 1)) * magnitudes(rng, -5, 0, (n, CLASSES))
    return np.float32(np.concatenate([p, sure / sure.sum(-1, keepdims=True), wild]))


def scores(rng, n):
    """Logits of every size up to 1e4, some nearly equal."""
    sizes = [1e-3, 1, 5, 30, 1e4]
    return np.concatenate([np.float32(rng.normal(0, s, (n, CLASSES))) for s in sizes])


def targets(rng, n):
    """One-hot, and one soft row in four."""
    soft = np.float32(rng.dirichlet(np.ones(CLASSES), n))
    return np.where(np.arange(n)[:, None] % 4 == 0, soft, rows(rng, n))


def with_targets(y_pred):
    def sample(rng):
        p = y_pred(rng, 12)
        return targets(rng, len(p)), p

    return sample


def with_labels(y_pred):
    def sample(rng):
        p = y_pred(rng, 12)
        return rng.integers(-1, CLASSES + 1, len(p)), p

    return sample


def score(rng):
    n = 40
    p = [np.float32(rng.normal(0, s, (n, CLASSES))) for s in (1e-20, 1, 100, 1e10)]
    return rows(rng, 4 * n), np.concatenate(p)


def distribution(rng):
    t, p, sure = shares(rng, 24)[:24], shares(rng, 24)[:24], shares(rng, 24)[24:48]
    return joined((t, p), (sure, sure[:, ::-1]), (t, neighbours(t, 3)), (rows(rng, 24), p))


def region(rng):
    n = 40
    t = np.float32(rng.integers(0, 2, (3 * n, CLASSES)))
    p = np.concatenate([rng.uniform(size=(n, CLASSES)), magnitudes(rng, -12, 0, (n, CLASSES))])
    good = np.abs(t[2 * n :] - magnitudes(rng, -7, -1, (n, CLASSES)))
    return t[:, None], np.concatenate([p, good]).astype(np.float32)[:, None]


def region_logits(rng):
    """A row is a batch of one image. Some are right by far, some wrong."""
    n = 30
    t = np.float32(rng.integers(0, 2, (4 * n, CLASSES)))
    z = [rng.normal(0, s, (n, CLASSES)) for s in (1e-3, 2, 10)]
    good = (2 * t[3 * n :] - 1) * rng.uniform(3, 30, (n, CLASSES))
    return t[:, None], np.float32(np.concatenate([*z, good]))[:, None]


def box(rng):
    """Boxes of every size: apart, overlapping, nearly equal; they are some in all formats."""
    n = 40
    corner, size = rng.uniform(0, 1, (4 * n, 2)), rng.uniform(0.1, 2, (4 * n, 2))
    t = np.concatenate([corner, corner + size], -1)
    shift = rng.normal(size=(4 * n, 4)) * np.repeat([0.1, 1, 10, 1e-4], n)[:, None]
    p = np.sort(np.abs(t + shift).reshape(-1, 2, 2), 1).reshape(-1, 4)
    scale = magnitudes(rng, -15, 15, (4 * n, 1))
    return scale * np.float32(t), scale * np.float32(p)


def embedding(rng):
    x = rng.normal(size=(6, 5, 3))
    return rng.integers(0, 2, (6, 5)), np.float32(x / np.linalg.norm(x, axis=-1, keepdims=True))


def sequence(rng):
    labels = [[[1, 2]], [[1, 1]], [[2, 0]], [[0, 0]]] * 2
    z = [rng.normal(0, s, (4, 1, 4, STEP_CLASSES)) for s in (1, 30)]
    return np.array(labels), np.float32(np.concatenate(z))


BY_DOMAIN = {
    "real": real,
    "positive": positive,
    "count": count,
    "sign": sign,
    "binary": binary,
    "binary logits": binary_logits,
    "class": with_targets(shares),
    "class logits": with_targets(scores),
    "label": with_labels(shares),
    "label logits": with_labels(scores),
    "score": score,
    "distribution": distribution,
    "region": region,
    "region logits": region_logits,
    "box": box,
    "embedding": embedding,
    "sequence": sequence,
}


def sample(case, config):
    """Of the row, or of the domain; of a domain that is not above whatever it draws."""
    domain = testing.domain_of(case.loss(**config))
    draw = case.inputs or BY_DOMAIN.get(domain.name) or (lambda rng: domain.draw(rng, (50, 5)))
    y_true, y_pred = draw(np.random.default_rng(zlib.crc32(case.loss.__name__.encode())))
    return y_true if domain.labelled else np.float32(y_true), np.float32(y_pred)
