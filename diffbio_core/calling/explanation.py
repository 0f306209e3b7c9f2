"""Why a candidate is called as it is: its view, its probabilities, and what each base and each read adds to them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float64, Int64

from diffbio_core.calling.call_stage import CallStage
from diffbio_core.calling.repeat_lengths import RepeatLengths, repeat_lengths
from diffbio_core.candidates.views import ROW_BUCKETS, CandidateViews, candidate_depth, cut_views
from diffbio_core.pipelines.allele_calling import AlleleCallingPipeline
from diffbio_core.windows.encoding import BASES
from diffbio_core.windows.planes import ShardPlanes


@dataclass(frozen=True)
class Explanation:
    """A candidate as the model saw it.

    Attributes:
        position: Of the candidate's column, 0-based: the changed base, or the base before an indel.
        change: The allele, such as ``A>G``, ``+TT`` or ``-3``.
        probabilities: Of 0, 1 and 2 copies, as the call stage has them.
        copies: The likeliest number of copies.
        view: What was looked at, of this candidate alone; rows without a read are left out.
        base_quality: Change of the log-odds of ``copies`` (natural logarithm) per Phred of each base's quality.
        mapping_quality: The same, per Phred of each read's mapping quality.
        depth: Reads that cover the column.
        repeat: Of an indel in a repeat, the lengths that reads show of it, which genotyping weighs beside
            ``probabilities``.
    """

    position: int
    change: str
    probabilities: Float64[np.ndarray, "3"]
    copies: int
    view: CandidateViews
    base_quality: Float[np.ndarray, "rows width"]
    mapping_quality: Float[np.ndarray, "rows"]
    depth: int
    repeat: RepeatLengths | None = None

    @property
    def influence(self) -> Float[np.ndarray, " rows"]:
        """Of each read, how much the log-odds change in all per Phred of its qualities, whichever way."""
        return np.abs(self.base_quality).sum(1) + np.abs(self.mapping_quality)


def candidate_positions(planes: ShardPlanes) -> Int64[np.ndarray, " candidates"]:
    """0-based positions of the candidates' columns."""
    table, length = planes.candidates, planes.grid.reference_length
    first = planes.shard.first_window * length - planes.grid.halo
    return first + table.window.astype(np.int64) * length + table.column


def explain(
    pipeline: AlleleCallingPipeline, stage: CallStage, planes: ShardPlanes, which: Int64[np.ndarray, " chosen"]
) -> list[Explanation]:
    """Explains some candidates of a shard.

    Args:
        pipeline: A trained pipeline.
        stage: The call stage of that pipeline; probabilities are those that it gives.
        planes: The shard.
        which: Indices into its candidates.
    """
    limits = pipeline.config.limits
    depth = candidate_depth(planes, limits.max_reads, limits.thinned_reads)
    positions, evidence = candidate_positions(planes), stage(planes)
    found = []
    for index in which.tolist():
        rows = next(rows for rows in ROW_BUCKETS if rows >= depth.shown[index])
        views = cut_views(planes, np.array([index], np.int32), rows, depth=depth, limits=limits)
        view = {name: array[0] for name, array in views.arrays().items()}
        probabilities = np.exp(evidence.log_probabilities[index])
        copies = int(probabilities.argmax())
        base_quality, mapping_quality = gradients(pipeline, view, copies)
        shown = views.group[0] > 0
        for name in ("symbol", "base_quality", "mapping_quality", "group"):
            setattr(views, name, getattr(views, name)[:, shown])
        found.append(
            Explanation(
                position=int(positions[index]),
                change=_change(planes, index, view),
                probabilities=probabilities,
                copies=copies,
                view=views,
                base_quality=base_quality[shown],
                mapping_quality=mapping_quality[shown],
                depth=int(depth.covering[index]) + int(planes.candidates.thinned[index]),
                repeat=next(iter(repeat_lengths(planes, [index])), None),
            )
        )
    return found


def gradients(
    pipeline: AlleleCallingPipeline, view: dict[str, np.ndarray], copies: int
) -> tuple[Float[np.ndarray, "rows width"], Float[np.ndarray, " rows"]]:
    """Gradients of the log-odds of a number of copies with respect to base and mapping qualities (per Phred).

    Of log-odds, since the probability of what is sure hardly changes. Roundings of the pipeline are passed through.

    Args:
        pipeline: A trained pipeline.
        view: One view.
        copies: 0, 1 or 2.
    """
    kind = np.asarray(jax.tree.leaves(nnx.state(pipeline))[0]).dtype
    qualities = {name: view[name].astype(kind) for name in ("base_quality", "mapping_quality")}
    found = _gradients(*nnx.split(pipeline), view, qualities, copies)
    return np.asarray(found["base_quality"]), np.asarray(found["mapping_quality"])


def log_odds(
    pipeline: AlleleCallingPipeline, view: dict[str, Array], qualities: dict[str, Array], copies: int | Array
) -> Float[Array, ""]:
    """Log-odds of a number of copies, of one view with some qualities in place of its own."""
    logs = jax.nn.log_softmax(pipeline.apply({**view, **qualities}, {}, None)[0]["logits"])
    chosen = jnp.arange(3) == copies
    return jnp.where(chosen, logs, 0).sum() - jax.nn.logsumexp(jnp.where(chosen, -jnp.inf, logs))


@jax.jit(static_argnums=0)
def _gradients(graph, state, view, qualities, copies):
    return jax.grad(lambda qualities: log_odds(nnx.merge(graph, state), view, qualities, copies))(qualities)


def _change(planes: ShardPlanes, index: int, view: dict[str, np.ndarray]) -> str:
    table = planes.candidates
    length = int(table.length[index])
    if length < 0:
        return f"{length}"
    if length > 0:
        start, stop = table.sequence_start[index : index + 2]
        return "+" + "".join(BASES[code] for code in table.sequence[start:stop])
    middle = view["reference"].size // 2
    return f"{BASES[view['reference'][middle]]}>{BASES[table.code[index]]}"
