"""The caller's own pipeline: a candidate's view -> probabilities of 0, 1 and 2 copies of its allele."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flax import nnx

from diffbio_core.candidates.limits import ViewLimits
from diffbio_core.operators.allele.classifier import AlleleClassifier, AlleleClassifierConfig
from diffbio_core.operators.allele.pileup import AllelePileup
from diffbio_core.operators.allele.quality_filter import WindowQualityFilter, WindowQualityFilterConfig
from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.typing import Metadata, PyTree


@dataclass(frozen=True)
class AlleleCallingConfig(OperatorConfig):
    """Configuration of the three stages that have one.

    Attributes:
        quality_filter: Soft thresholds.
        classifier: Size of the network.
        limits: How far training went: views are brought within it.
    """

    quality_filter: WindowQualityFilterConfig = field(default_factory=WindowQualityFilterConfig)
    classifier: AlleleClassifierConfig = field(default_factory=AlleleClassifierConfig)
    limits: ViewLimits = field(default_factory=ViewLimits)


class AlleleCallingPipeline(OperatorModule):
    """Soft quality weights, allele-conditioned pileup and classifier as one differentiable function.

    Attributes:
        quality_filter: Weighs each base.
        pileup: Sums weighted symbols by group of reads.
        classifier: Gives logits of 0, 1 and 2 copies.
    """

    config: AlleleCallingConfig

    def __init__(self, config: AlleleCallingConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None) -> None:
        super().__init__(config, rngs=rngs, name=name)
        rngs = initialisation_rngs(rngs)
        self.quality_filter = WindowQualityFilter(config.quality_filter)
        self.pileup = AllelePileup(OperatorConfig())
        self.classifier = AlleleClassifier(config.classifier, rngs=rngs)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Call one candidate.

        Args:
            data: One view, with the keys of ``diffbio_core.candidates.views.CandidateViews``.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The view with ``weight``, ``allele_pileup``, ``allele_summary``, ``logits`` and ``probabilities``.
        """
        for stage in (self.quality_filter, self.pileup, self.classifier):
            data, state, metadata = stage.apply(data, state, metadata)
        return data, state, metadata
