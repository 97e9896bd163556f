"""Keras, where a test compares with it, runs on JAX; it reads this when it is imported."""

import os

os.environ["KERAS_BACKEND"] = "jax"
