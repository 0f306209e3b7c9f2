"""The window store: decoded reads in Zarr."""
