"""`PYTHONPATH=.:tests python -m safety` writes docs/safety.md; it takes some minutes."""

import os

os.environ["KERAS_BACKEND"] = "jax"

from safety.page import PAGE, page

PAGE.parent.mkdir(exist_ok=True)
PAGE.write_text(page(), encoding="utf-8")
