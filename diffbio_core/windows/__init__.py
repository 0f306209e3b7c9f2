"""Windows: the grid, the planes that reads are packed into, candidate alleles and the views of them."""
