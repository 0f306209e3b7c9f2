"""Executors: where tasks run."""

__all__: list[str] = []
