"""Views as another sequencer or another depth would have shown them."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from diffbio_core.candidates.view_encoding import DELETION_AFTER, DIFFERS, FLANK, INSERTION_AFTER, WIDTH
from diffbio_core.windows.encoding import CODE_MASK, DELETED, NO_READ

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
        second_allele: Share of views whose other reads are made to show a second alternative allele: such sites are
            few, and without them the classifier takes the absence of the reference for a homozygous call.
        one_sided: Share of views from one of whose strands reads are taken, as in captured and amplified libraries;
            `change_views` alone knows it.
        least_of_strand: Smallest share of that strand's reads that such a view keeps.
    """

    thinned: float = 0.5
    least_kept: float = 0.4
    shifted: float = 0.5
    quality_shift: float = 3.0
    binned: float = 0.3
    bins: tuple[tuple[int, ...], ...] = ((2, 12, 23, 37), (2, 15, 25, 37), (2, 11, 25, 40))
    second_allele: float = 0.03
    one_sided: float = 0.1
    least_of_strand: float = 0.0


def augment_view(view: dict[str, Array], config: AugmentationConfig, key: PRNGKeyArray) -> dict[str, Array]:
    """A changed copy of one candidate's view (see ``diffbio_core.candidates.views.CandidateViews``)."""
    thin, share, rows, shift, by, into, bins, second, which = jax.random.split(key, 9)
    symbol = jnp.where(
        jax.random.uniform(second) < config.second_allele, _with_second_allele(view, which), view["symbol"]
    )
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
    present = (group > 0)[:, None] & (symbol != NO_READ)
    return {
        **view,
        "symbol": jnp.where(present, symbol, NO_READ).astype(jnp.uint8),
        "base_quality": jnp.where(present, quality, 0).astype(jnp.uint8),
        "mapping_quality": jnp.where(group > 0, view["mapping_quality"], 0).astype(jnp.uint8),
        "group": group.astype(jnp.uint8),
        "rival": jnp.round(view["rival"] * kept).astype(view["rival"].dtype),
    }


def _with_second_allele(view: dict[str, Array], key: PRNGKeyArray) -> Array:
    """The symbols where reads that show the reference show another allele of the candidate's kind in its place.

    The number of copies of the candidate's own allele stays what it was.
    """
    base, kind, size = jax.random.split(key, 3)
    symbol, column = view["symbol"], jnp.arange(WIDTH)
    middle = symbol[:, FLANK]
    differs = (view["group"].astype(jnp.int32) - 1) // 2 == DIFFERS
    plain = differs & (middle == view["reference"][FLANK])
    at_centre = plain[:, None] & (column == FLANK)
    # Neither the reference nor the allele: of four bases two are left at least.
    shift = jax.random.randint(base, (), 1, 4)
    other = (view["reference"][FLANK] + shift) % 4
    other = jnp.where(other == view["allele"][FLANK], (other + 1) % 4, other)
    other = jnp.where(other == view["reference"][FLANK], (other + 1) % 4, other)
    changed = jnp.where(at_centre, other, symbol)
    inserted = jnp.where(at_centre, symbol | INSERTION_AFTER, symbol)
    length = jax.random.randint(size, (), 1, 5)
    gap = plain[:, None] & (column > FLANK) & (column <= FLANK + length) & (symbol & CODE_MASK != NO_READ)
    deleted = jnp.where(gap, DELETED, jnp.where(at_centre, symbol | DELETION_AFTER, symbol))
    indel = jnp.where(jax.random.bernoulli(kind), inserted, deleted)
    return jnp.where(view["length"] == 0, changed, indel).astype(jnp.uint8)
