"""Models: river estimators, their compiled twins, baselines."""
