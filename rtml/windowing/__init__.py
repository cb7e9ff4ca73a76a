"""What a feature set is made of: formulas, their programs, windows of keys."""
