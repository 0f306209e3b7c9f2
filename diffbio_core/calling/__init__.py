"""Calling: the call stage, genotyping, and what a called site is."""
