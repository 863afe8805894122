"""Training under a budget: the recipe's schedule, the loop, checkpoints and progress."""
