"""Allele-conditioned pileup: what the reads that show an allele look like, beside those that do not."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from diffbio_core.candidates.view_encoding import DELETION_AFTER, FLANK, INSERTION_AFTER, UNINFORMATIVE
from diffbio_core.operators.base import OperatorModule
from diffbio_core.typing import Metadata, PyTree
from diffbio_core.windows.encoding import CODE_MASK, DELETED, NO_READ

_MATCH = 8
_SYMBOLS = (_MATCH, 0, 1, 2, 3, DELETED)
_CELL_CHANNELS = len(_SYMBOLS) + 4
_GROUPS = 5

_LEAST_SLIPPAGE = 1e-4
"""Rate of slippage below which none is told from another."""

PILEUP_CHANNELS = _GROUPS * _CELL_CHANNELS + 8
"""Channels of the pileup: five groups of reads, the reference and the allele."""

SUMMARY_CHANNELS = 3 * _GROUPS + 18
"""Channels of the summary."""


class AllelePileup(OperatorModule):
    """Sums the weighted symbols of a candidate's reads by column, apart for each group of reads.

    Groups are: shows the allele, forward and reverse; shows another, forward and reverse; cannot tell. Symbols are: as
    the reference, A, C, G, T where they differ from it, deleted, insertion after, deletion after; beside them the share
    of reads and their mean base quality. All is divided by the number of reads, so that depth is a feature of its own.

    Every sum is over multiples of 1/1024 or over integers, hence exact: the order of the rows cannot show.
    """

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Add ``allele_pileup`` (width, PILEUP_CHANNELS) and ``allele_summary`` (SUMMARY_CHANNELS,) to a view."""
        weight = data["weight"]
        kind = weight.dtype
        symbol = data["symbol"]
        code = symbol & CODE_MASK
        present = (code != NO_READ).astype(kind)
        weight = weight * present
        code = jnp.where(code == data["reference"], jnp.uint8(_MATCH), code)
        # Columns last, since so short an axis as the channels would keep XLA from using vector instructions.
        cells = jnp.concatenate(
            [
                jnp.where(code[:, None] == jnp.array(_SYMBOLS, jnp.uint8)[:, None], weight[:, None], 0),
                jnp.where((symbol & INSERTION_AFTER) != 0, weight, 0)[:, None],
                jnp.where((symbol & DELETION_AFTER) != 0, weight, 0)[:, None],
                present[:, None],
                data["base_quality"].astype(kind)[:, None],
            ],
            axis=1,
        )
        # Both strands of the uninformative reads are one group.
        group = jnp.minimum(data["group"], 1 + 2 * UNINFORMATIVE)
        member = (group[:, None] == jnp.arange(1, _GROUPS + 1, dtype=jnp.uint8)).astype(kind)
        sums = jnp.einsum("rg,rcw->wgc", member, cells, precision=jax.lax.Precision.HIGHEST)
        count = member.sum(0)
        depth = jnp.maximum(count.sum(), 1)
        scale = jnp.ones(_CELL_CHANNELS, kind).at[-1].set(1 / 40)
        spelled = [jax.nn.one_hot(data[name], 4, dtype=kind) for name in ("reference", "allele")]
        pileup = jnp.concatenate([(sums * scale / depth).reshape(sums.shape[0], -1), *spelled], axis=-1)
        weighed = jnp.einsum("rg,r->g", member, weight[:, FLANK], precision=jax.lax.Precision.HIGHEST)
        mapping = jnp.einsum(
            "rg,r->g", member, data["mapping_quality"].astype(kind), precision=jax.lax.Precision.HIGHEST
        )
        summary = jnp.concatenate(
            [
                count / depth,
                weighed / depth,
                mapping / jnp.maximum(count, 1) / 60,
                _allele_scalars(data, depth, kind),
                _genotype_evidence(weighed[0] + weighed[1], weighed[2] + weighed[3]),
                jnp.minimum(data["lengths"].astype(kind) / depth, 1),
                jnp.log10(jnp.maximum(data["slippage"].astype(kind), _LEAST_SLIPPAGE)) + 2.5,
            ]
        )
        return {**data, "allele_pileup": pileup, "allele_summary": summary}, state, metadata


def _allele_scalars(data: PyTree, depth: Array, kind: Any) -> Float[Array, "9"]:
    length, tract, crowd, rival = (data[name].astype(kind) for name in ("length", "tract", "crowd", "rival"))
    size = jnp.abs(length)
    return jnp.stack(
        [
            depth / 50,
            jnp.log1p(depth) / 4,
            (length > 0).astype(kind),
            (length < 0).astype(kind),
            jnp.log1p(size) / 3,
            jnp.log1p(tract) / 3,
            jnp.minimum(tract / jnp.maximum(size, 1), 20) / 10,
            jnp.log1p(crowd) / 2,
            jnp.minimum(rival / depth, 1),
        ]
    )


def _genotype_evidence(shows: Array, differs: Array) -> Float[Array, "3"]:
    """Binomial log-likelihood ratios of one copy against none and against two, squashed, and the allele's share."""
    error, half = jnp.log(0.02), jnp.log(0.5)
    right = jnp.log1p(-0.02)
    none = shows * error + differs * right
    one = (shows + differs) * half
    both = shows * right + differs * error
    return jnp.stack(
        [jnp.tanh((one - none) / 10), jnp.tanh((one - both) / 10), shows / jnp.maximum(shows + differs, 1)]
    )
