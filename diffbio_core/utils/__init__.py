"""Training, and simulated samples to train on."""
