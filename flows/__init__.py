"""The ``diffbio`` command, its stages and their Prefect flows (import name ``diffbio_flows``)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffbio_flows.evaluation import EvaluationTable, evaluate_calls
    from diffbio_flows.ingest import IngestSummary, ingest_reads
    from diffbio_flows.parameters import CallParameters, IngestParameters
    from diffbio_flows.run import call_variants
    from diffbio_flows.summary import CallSummary

__all__ = [
    "CallParameters",
    "CallSummary",
    "EvaluationTable",
    "IngestParameters",
    "IngestSummary",
    "call_variants",
    "evaluate_calls",
    "ingest_reads",
]

_MODULES = {
    "CallParameters": "parameters",
    "CallSummary": "summary",
    "EvaluationTable": "evaluation",
    "IngestParameters": "parameters",
    "IngestSummary": "ingest",
    "call_variants": "run",
    "evaluate_calls": "evaluation",
    "ingest_reads": "ingest",
}


def __getattr__(name: str) -> Any:
    """Imports a name's module when it is first asked for, so that ``diffbio --help`` stays quick."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
