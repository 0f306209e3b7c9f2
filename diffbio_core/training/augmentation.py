"""Views as another sequencer or another depth would have shown them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from diffbio_core.windows.encoding import NO_READ

_MAX_QUALITY = 45.0


@dataclass(frozen=True)
class AugmentationConfig:
    """How often, and how far, a view is changed.

    Attributes:
        thinned: Share of views from which reads are taken.
        least_kept: Smallest share of reads that such a view keeps.
        shifted: Share of views whose base qualities are all shifted.
        quality_shift: Standard deviation of the shift (Phred).
        binned: Share of views whose base qualities are put into bins.
        bins: Sets of bins (Phred), as newer sequencers report them.
    """

    thinned: float = 0.5
    least_kept: float = 0.4
    shifted: float = 0.5
    quality_shift: float = 3.0
    binned: float = 0.3
    bins: tuple[tuple[int, ...], ...] = ((2, 12, 23, 37), (2, 15, 25, 37), (2, 11, 25, 40))


def augment_view(view: dict[str, Array], config: AugmentationConfig, key: PRNGKeyArray) -> dict[str, Array]:
    """A changed copy of one candidate's view (see ``diffbio_core.windows.views.CandidateViews``)."""
    thin, share, rows, shift, by, into, bins = jax.random.split(key, 7)
    group = view["group"]
    kept = jnp.where(
        jax.random.uniform(thin) < config.thinned,
        jax.random.uniform(share, minval=config.least_kept, maxval=1.0),
        1.0,
    )
    group = jnp.where(jax.random.uniform(rows, group.shape) < kept, group, 0)
    quality = view["base_quality"].astype(jnp.float32)
    quality += jnp.where(jax.random.uniform(shift) < config.shifted, jax.random.normal(by) * config.quality_shift, 0.0)
    levels = jnp.array(config.bins, jnp.float32)[jax.random.randint(bins, (), 0, len(config.bins))]
    nearest = levels[jnp.argmin(jnp.abs(quality[..., None] - levels), -1)]
    quality = jnp.where(jax.random.uniform(into) < config.binned, nearest, quality)
    quality = jnp.clip(jnp.round(quality), 2, _MAX_QUALITY).astype(jnp.uint8)
    present = (group > 0)[:, None] & (view["symbol"] != NO_READ)
    return {
        **view,
        "symbol": jnp.where(present, view["symbol"], NO_READ).astype(jnp.uint8),
        "base_quality": jnp.where(present, quality, 0).astype(jnp.uint8),
        "mapping_quality": jnp.where(group > 0, view["mapping_quality"], 0).astype(jnp.uint8),
        "group": group.astype(jnp.uint8),
    }
