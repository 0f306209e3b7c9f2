"""Training of the caller: labels for candidates, augmentation, the optimisation loop."""
