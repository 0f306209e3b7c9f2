"""``python -m diffbio_flows.command``: the ``diffbio`` command."""

from diffbio_flows.command.main import main

main()
