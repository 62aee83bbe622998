"""How much of what a model can do is left under sparse attention: tasks, baselines, scores, and their uncertainty."""
