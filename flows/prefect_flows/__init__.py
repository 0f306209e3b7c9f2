"""Runs as Prefect flows."""
