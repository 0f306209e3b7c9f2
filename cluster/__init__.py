"""Where diffbio's work runs: in this process or on a Dask cluster (import name ``diffbio_cluster``)."""
