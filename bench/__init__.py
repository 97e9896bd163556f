"""What a loss costs, beside other libraries, on any device: `python -m bench`."""
