"""What a model is worth: metrics, intervals, paired tests, and the simple baselines it must beat."""
