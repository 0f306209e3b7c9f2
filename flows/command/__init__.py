"""The ``diffbio`` command: a file per subcommand, shared options, exit status, interrupts, console."""

__all__: list[str] = []
