"""The ``diffbio`` command, its stages and their Prefect flows (import name ``diffbio_flows``)."""
