"""Fused operations: one folder each, the engine of chunks beneath them."""
