"""Runs from start to end: parameters, preflight, plan, the steps that the command and Prefect share, work directory."""
