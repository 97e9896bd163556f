"""The safety table: what losses do at the edges, in lossjax and in other libraries.

`python -m safety` in the folder tests writes docs/safety.md.
"""
