"""Keras, where a test compares with it, runs on JAX; it reads this when it is imported."""

import os

os.environ["KERAS_BACKEND"] = "jax"


def pytest_terminal_summary(terminalreporter):
    """The table of test_accuracy.py; workers of xdist cannot print it themselves."""
    reports = [r for key in ("passed", "failed") for r in terminalreporter.getreports(key)]
    properties = [p for r in reports if r.when == "call" for p in r.user_properties]
    lines = [line for name, line in properties if name == "accuracy"]
    if lines:
        terminalreporter.section("ulps: bound, ours, Keras's, and where ours is worst")
        terminalreporter.write_line("\n".join(lines))
