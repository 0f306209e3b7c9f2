"""The ``diffbio`` command, its stages and their Prefect flows (import name ``diffbio_flows``)."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_flows.reports.summary import CallSummary
    from diffbio_flows.runs.call import call_variants
    from diffbio_flows.runs.evaluate import EvaluationTable, evaluate_calls
    from diffbio_flows.runs.ingest import IngestSummary, ingest_reads
    from diffbio_flows.runs.parameters import CallParameters, IngestParameters
    from diffbio_flows.runs.perturb import PredictionScores, evaluate_predictions, set_up_perturbations
    from diffbio_flows.runs.train import TrainingSummary, train_model
    from diffbio_flows.training.parameters import TrainParameters

__all__ = [
    "CallParameters",
    "CallSummary",
    "EvaluationTable",
    "IngestParameters",
    "IngestSummary",
    "PredictionScores",
    "TrainParameters",
    "TrainingSummary",
    "call_variants",
    "evaluate_calls",
    "evaluate_predictions",
    "ingest_reads",
    "set_up_perturbations",
    "train_model",
]

__getattr__ = lazy_names(
    __name__,
    {
        "reports.summary": ("CallSummary",),
        "runs.call": ("call_variants",),
        "runs.evaluate": ("EvaluationTable", "evaluate_calls"),
        "runs.ingest": ("IngestSummary", "ingest_reads"),
        "runs.parameters": ("CallParameters", "IngestParameters"),
        "runs.train": ("TrainingSummary", "train_model"),
        "training.parameters": ("TrainParameters",),
        "runs.perturb": ("PredictionScores", "evaluate_predictions", "set_up_perturbations"),
    },
)
