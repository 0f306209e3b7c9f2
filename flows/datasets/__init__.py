"""Sets with a known truth, real or simulated, and the model that is made of them."""
