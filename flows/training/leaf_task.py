"""What a worker is asked for at each step of a training, whatever is trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32


@dataclass(frozen=True)
class LeafTask:
    """Asks for the gradients of some leaves of a step.

    Attributes:
        work: The run's work directory.
        plan: What tells its plan.
        step: From 0.
        leaves: Places in the batch.
        parameters: All of them, as one vector.
    """

    work: str
    plan: str
    step: int
    leaves: range
    parameters: Float32[np.ndarray, " parameters"]

    def __str__(self) -> str:
        return f"step {self.step + 1}, leaves {self.leaves.start + 1} to {self.leaves.stop}"
