"""How good predicted effects of perturbations are: cell-eval's metrics, with baselines beside every one."""

from diffbio_core.evaluation.perturbation.comparison import evaluate_perturbations
from diffbio_core.evaluation.perturbation.groups import CellGroups
from diffbio_core.evaluation.perturbation.metrics import METRICS
from diffbio_core.evaluation.perturbation.scores import MetricRow, PerturbationScores

__all__ = ["METRICS", "CellGroups", "MetricRow", "PerturbationScores", "evaluate_perturbations"]
