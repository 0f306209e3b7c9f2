"""What people and scripts are told of a run: progress while it goes on, summary and report at its end."""
