"""Flows for deployments: forms for people on Prefect's page, limited to what the worker's own file allows.

``prefect.yaml`` names them by module, so that a worker needs an installed diffbio and no clone.
"""

# A flow and its module have the deployment's name, so that nothing stands here under it.
__all__: list[str] = []
