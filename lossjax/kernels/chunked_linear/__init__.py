"""Any per-token loss of hidden @ kernel + bias, in chunks of tokens."""
