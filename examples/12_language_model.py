"""Train a byte-level transformer on Python's own reference manual, without making its logits.

Run it with `python examples/12_language_model.py`: under a minute on two cores.
"""

import argparse
import functools
import pydoc_data.topics

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lossjax import losses

BATCH, LENGTH = 8, 64
FEATURES, HEADS, LAYERS = 64, 4, 2
# Pairs of bytes count as one class: a large vocabulary, with nothing to be downloaded.
VOCABULARY = 256 * 256


def text():
    """Every topic of `help()`, as pairs of bytes."""
    data = "\n".join(pydoc_data.topics.topics.values()).encode()
    return np.frombuffer(data[: len(data) // 2 * 2], np.uint8).reshape(-1, 2) @ np.array([256, 1])


def initial(key):
    def normal(*shape):
        nonlocal key
        key, now = jax.random.split(key)
        return jax.random.normal(now, shape) * 0.02

    layer = lambda: {  # noqa: E731
        "attention": normal(FEATURES, 3 * FEATURES),
        "join": normal(FEATURES, FEATURES),
        "widen": normal(FEATURES, 4 * FEATURES),
        "narrow": normal(4 * FEATURES, FEATURES),
    }
    return {
        "embedding": normal(VOCABULARY, FEATURES),
        "position": normal(LENGTH, FEATURES),
        "layers": [layer() for _ in range(LAYERS)],
    }


def normalised(x):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6)


def hidden_states(params, tokens):
    """(batch, length) class numbers to (batch, length, features)."""
    x = params["embedding"][tokens] + params["position"]
    for layer in params["layers"]:
        q, k, v = jnp.split(normalised(x) @ layer["attention"], 3, -1)
        q, k, v = (a.reshape(*a.shape[:2], HEADS, -1) for a in (q, k, v))
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.reshape(x.shape) @ layer["join"]
        x = x + jax.nn.gelu(normalised(x) @ layer["widen"]) @ layer["narrow"]
    return normalised(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=80, help="of training (default: 80)")
    steps = parser.parse_args().steps

    data = text()
    rng = np.random.default_rng(0)
    params = initial(jax.random.key(0))
    optimizer = optax.adam(2e-3)
    opt_state = optimizer.init(params)
    # Position i predicts class i + 1. The output layer is the embedding, (vocabulary, features).
    loss = losses.LinearCrossEntropy(shift=1, kernel_layout="vd", z_loss=1e-4)

    def chunked(params, tokens):
        return loss(tokens, (hidden_states(params, tokens), params["embedding"]))

    def dense(params, tokens):
        logits = hidden_states(params, tokens)[:, :-1] @ params["embedding"].T
        return losses.SparseCategoricalCrossentropy(from_logits=True)(tokens[:, 1:], logits)

    def step(objective, params, opt_state, tokens):
        value, grads = jax.value_and_grad(objective)(params, tokens)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state, value

    def batch():
        starts = rng.integers(0, len(data) - LENGTH, BATCH)
        return jnp.asarray(data[starts[:, None] + np.arange(LENGTH)], jnp.int32)

    programs = [
        jax.jit(functools.partial(step, f)).lower(params, opt_state, batch()).compile()
        for f in (chunked, dense)
    ]
    ours, theirs = (p.memory_analysis().temp_size_in_bytes / 1e6 for p in programs)
    for number in range(1, steps + 1):
        params, opt_state, value = programs[0](params, opt_state, batch())
        if number in (1, steps) or number % 20 == 0:
            # nats a pair of bytes, to bits a byte
            print(f"step {number:3}  loss {value:6.3f}  bits a byte {value / np.log(4):.3f}")
    print(
        f"Memory of a step beside parameters and state: {ours:.0f} MB; "
        f"with the logits {theirs:.0f} MB: {theirs - ours:.0f} MB saved."
    )


if __name__ == "__main__":
    main()
