"""How good predicted effects of perturbations are: cell-eval's metrics, with baselines beside every one."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.evaluation.perturbation.comparison import evaluate_perturbations
    from diffbio_core.evaluation.perturbation.groups import CellGroups
    from diffbio_core.evaluation.perturbation.metrics import METRICS
    from diffbio_core.evaluation.perturbation.scores import MetricRow, PerturbationScores

__all__ = ["METRICS", "CellGroups", "MetricRow", "PerturbationScores", "evaluate_perturbations"]

__getattr__ = lazy_names(
    __name__,
    {
        "comparison": ("evaluate_perturbations",),
        "groups": ("CellGroups",),
        "metrics": ("METRICS",),
        "scores": ("MetricRow", "PerturbationScores"),
    },
)
