collect_ignore = ["generate.py"]  # needs TensorFlow
