"""Training of the caller from window stores: sets, labels, the order of windows, gradients, checkpoints, validation."""
