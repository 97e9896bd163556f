"""What JAX and Keras read from the environment when they are imported, here and in programs run."""

import os

os.environ["KERAS_BACKEND"] = "jax"
# On a GPU float32 matrices keep 10 bits of their entries unless it is said, also in Keras.
os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"


def pytest_configure(config):
    """Most of the time goes into compiling: what did not change is compiled once, then read."""
    if not config.pluginmanager.hasplugin("cacheprovider"):
        return
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("xla")))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_terminal_summary(terminalreporter):
    """The table of test_accuracy.py; workers of xdist cannot print it themselves."""
    reports = [r for key in ("passed", "failed") for r in terminalreporter.getreports(key)]
    properties = [p for r in reports if r.when == "call" for p in r.user_properties]
    lines = [line for name, line in properties if name == "accuracy"]
    if lines:
        terminalreporter.section("ulps: bound, ours, Keras's, and where ours is worst")
        terminalreporter.write_line("\n".join(lines))
