"""Runs from start to end: parameters, preflight, plan, the steps that the command and Prefect share, work directory."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_flows.runs.call import CallRun, call_variants
    from diffbio_flows.runs.cells import CellsParameters, CellsSummary, analyse_cells
    from diffbio_flows.runs.differential_expression import expression_differences
    from diffbio_flows.runs.evaluate import EvaluationTable, evaluate_calls
    from diffbio_flows.runs.ingest import IngestRun, IngestSummary, ingest_reads
    from diffbio_flows.runs.parameters import CallParameters, IngestParameters
    from diffbio_flows.runs.perturb import PredictionScores, evaluate_predictions, set_up_perturbations
    from diffbio_flows.runs.steps import ShardRun, Step, drive

__all__ = [
    "CallParameters",
    "CallRun",
    "CellsParameters",
    "CellsSummary",
    "EvaluationTable",
    "IngestParameters",
    "IngestRun",
    "IngestSummary",
    "PredictionScores",
    "ShardRun",
    "Step",
    "analyse_cells",
    "call_variants",
    "drive",
    "evaluate_calls",
    "evaluate_predictions",
    "expression_differences",
    "ingest_reads",
    "set_up_perturbations",
]

__getattr__ = lazy_names(
    __name__,
    {
        "call": ("CallRun", "call_variants"),
        "cells": ("CellsParameters", "CellsSummary", "analyse_cells"),
        "differential_expression": ("expression_differences",),
        "evaluate": ("EvaluationTable", "evaluate_calls"),
        "ingest": ("IngestRun", "IngestSummary", "ingest_reads"),
        "parameters": ("CallParameters", "IngestParameters"),
        "perturb": ("PredictionScores", "evaluate_predictions", "set_up_perturbations"),
        "steps": ("ShardRun", "Step", "drive"),
    },
)
