"""The rows of every loss, and what they need: a file a family. `cases` gathers them."""

import importlib

# First, whichever file of this package is asked for: it imports them all.
importlib.import_module("cases")
