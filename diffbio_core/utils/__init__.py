"""The documented library's training tools."""
