"""The order in which cells come to training."""
