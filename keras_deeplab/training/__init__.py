"""Training: recipes, learning-rate schedules, optimizers, and freezing parts of a model."""
