"""The programs of a page, each with what it prints if the page says so."""

import re

BLOCKS = re.compile(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", re.DOTALL)
