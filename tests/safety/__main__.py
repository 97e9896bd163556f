"""`python -m safety`, in the folder tests and with the repository's root on PYTHONPATH."""

import os

os.environ["KERAS_BACKEND"] = "jax"

from safety.page import PAGE, page

PAGE.parent.mkdir(exist_ok=True)
PAGE.write_text(page(), encoding="utf-8")
