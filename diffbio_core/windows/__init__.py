"""Windows: the grid, and the planes that reads are projected and packed into."""
