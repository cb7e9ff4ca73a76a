"""How good a model is, honestly: progressive validation, comparison, ablation, leakage, skew, advice on retraining."""
