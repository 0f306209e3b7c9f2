"""The ``diffbio`` command: a file per subcommand, shared options, exit status, interrupts, console."""
