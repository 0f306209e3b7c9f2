"""The ``diffbio`` command, its stages and their Prefect flows (import name ``diffbio_flows``)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffbio_flows.reports.summary import CallSummary
    from diffbio_flows.runs.call import call_variants
    from diffbio_flows.runs.evaluate import EvaluationTable, evaluate_calls
    from diffbio_flows.runs.ingest import IngestSummary, ingest_reads
    from diffbio_flows.runs.parameters import CallParameters, IngestParameters
    from diffbio_flows.runs.perturb import PredictionScores, evaluate_predictions, set_up_perturbations

__all__ = [
    "CallParameters",
    "CallSummary",
    "EvaluationTable",
    "IngestParameters",
    "IngestSummary",
    "PredictionScores",
    "call_variants",
    "evaluate_calls",
    "evaluate_predictions",
    "ingest_reads",
    "set_up_perturbations",
]

_MODULES = {
    "CallParameters": "runs.parameters",
    "CallSummary": "reports.summary",
    "EvaluationTable": "runs.evaluate",
    "IngestParameters": "runs.parameters",
    "IngestSummary": "runs.ingest",
    "PredictionScores": "runs.perturb",
    "call_variants": "runs.call",
    "evaluate_calls": "runs.evaluate",
    "evaluate_predictions": "runs.perturb",
    "ingest_reads": "runs.ingest",
    "set_up_perturbations": "runs.perturb",
}


def __getattr__(name: str) -> Any:
    """Imports a name's module when it is first asked for, so that ``diffbio --help`` stays quick."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
