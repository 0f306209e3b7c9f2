"""Training of a count autoencoder on cells that stay sparse, through the training step of the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key, Num

from diffbio_core.operators.base import OperatorModule
from diffbio_core.operators.normalization.vae_normalizer import VAENormalizer
from diffbio_core.operators.validation import check_labels, check_positive
from diffbio_core.sources.matrix import CountMatrix
from diffbio_core.typing import Metadata, PyTree
from diffbio_core.utils.training import Trainer, TrainingConfig

logger = logging.getLogger(__name__)

_CELLS_FOR_ALL_EPOCHS = 20_000
_MOST_EPOCHS = 400
"""scVI's rule: 400 epochs up to 20,000 cells, fewer in proportion beyond."""


@dataclass(frozen=True)
class VAETrainingConfig:
    """How a count autoencoder is trained.

    Attributes:
        epochs: Passes over the cells; 400 up to 20,000 cells and fewer in proportion beyond if None.
        batch_size: Cells of one step.
        learning_rate: Step size of Adam.
        warm_up: Share of the epochs over which the divergence's weight grows from 0 to 1.
        held_out: Share of the cells that are not trained on.
        seed: Of order, latents and held-out cells; the same seed gives the same bits.

    Raises:
        ValueError: A value out of range.
    """

    epochs: int | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    warm_up: float = 0.5
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive("VAE training", batch_size=self.batch_size, learning_rate=self.learning_rate)
        if self.epochs is not None:
            check_positive("VAE training", epochs=self.epochs)
        for name in ("warm_up", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"VAE training: {name} must lie in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class Bound:
    """Negative evidence lower bound of cells, and its two parts.

    Attributes:
        reconstruction: Mean negative log-likelihood of a cell's counts, over one draw of its latent.
        divergence: Mean divergence of a cell's latent from the prior.
    """

    reconstruction: float
    divergence: float

    @property
    def loss(self) -> float:
        """Both parts together: the lower the better."""
        return self.reconstruction + self.divergence


@dataclass
class VAEHistory:
    """What training saw.

    Attributes:
        losses: Mean loss of a cell in each epoch, the divergence weighted as it then was, with its share of the
            parameters' prior.
        held_out: Bound of the held-out cells after the last epoch; None where none were held out.
        held_out_cells: Which cells those are.
    """

    losses: list[float] = field(default_factory=list)
    held_out: Bound | None = None
    held_out_cells: Int[np.ndarray, "held"] = field(default_factory=lambda: np.empty(0, np.int64))


def train_vae(
    vae: VAENormalizer,
    counts: CountMatrix,
    config: VAETrainingConfig | None = None,
    *,
    batch_labels: Int[np.ndarray, "cells"] | None = None,
    report: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
) -> VAEHistory:
    """Train a count autoencoder, in place; it is in evaluation mode afterwards.

    Args:
        vae: What to train.
        counts: Cells by genes; rows become dense a batch at a time.
        config: How.
        batch_labels: Batch of each cell, where the decoder is told it.
        report: Told after each epoch: its number from 1, how many there are, its mean loss.

    Returns:
        What training saw.

    Raises:
        ValueError: Other genes than configured, no counts, or a loss that is not finite; the step is named.
    """
    config = config or VAETrainingConfig()
    labels = checked_labels(vae, counts, batch_labels)
    schedule = VAESchedule(counts.shape[0], config)
    start_from_means(vae, counts)
    trainer = Trainer(
        _Objective(vae),
        TrainingConfig(
            learning_rate=config.learning_rate,
            num_epochs=schedule.epochs,
            grad_clip_norm=None,
            seed=config.seed,
        ),
    )
    history = VAEHistory(held_out_cells=schedule.held_out)
    for epoch in range(schedule.epochs):
        first = epoch * schedule.steps_per_epoch
        batches = (schedule.batch(first + step) for step in range(schedule.steps_per_epoch))
        loss = trainer.train_epoch(((batch.arrays(counts, labels), None) for batch in batches), _loss)["avg_loss"]
        history.losses.append(loss)
        report(epoch + 1, schedule.epochs, loss)
        logger.debug("epoch %d of %d: mean loss %.4f", epoch + 1, schedule.epochs, loss)
    measure_held_out(vae, counts, config, history, batch_labels)
    return history


def measure_held_out(
    vae: VAENormalizer,
    counts: CountMatrix,
    config: VAETrainingConfig,
    history: VAEHistory,
    batch_labels: Int[np.ndarray, "cells"] | None,
) -> None:
    """Ends a training: puts the autoencoder into evaluation mode, and the bound of the held-out cells into its history.

    Args:
        vae: Trained.
        counts: Cells by genes.
        config: How it was trained.
        history: Of the training.
        batch_labels: See `train_vae`.
    """
    vae.eval_mode()
    if history.held_out_cells.size:
        history.held_out = evidence_bound(
            vae, counts, cells=history.held_out_cells, batch_labels=batch_labels, seed=config.seed
        )


@dataclass(frozen=True)
class CellBatch:
    """Cells of one step.

    Attributes:
        rows: Which; what fills up the last batch of an epoch repeats some.
        weights: 1, or 0 for what fills up.
        divergence_weight: What the divergence counts.
        prior_weight: A cell's share of the parameters' prior.
    """

    rows: Int[np.ndarray, "batch"]
    weights: Float[np.ndarray, "batch"]
    divergence_weight: float
    prior_weight: float

    def arrays(
        self, counts: CountMatrix, labels: Int[np.ndarray, "cells"], part: slice = slice(None)
    ) -> dict[str, Any]:
        """A part of the batch as an objective takes it."""
        rows = self.rows[part]
        return {
            "counts": counts.rows(rows).astype(np.float32),
            "labels": labels[rows],
            "weights": self.weights[part],
            "divergence_weight": np.float32(self.divergence_weight),
            "prior_weight": np.float32(self.prior_weight),
        }


class VAESchedule:
    """Which cells are held out, and which each step looks at: it follows from their number and the configuration alone.

    Args:
        cells: Number of cells.
        config: How to train.

    Attributes:
        held_out: Cells that are not trained on, in order.
        epochs: Passes over the others.
        steps_per_epoch: Batches of each.
    """

    def __init__(self, cells: int, config: VAETrainingConfig) -> None:
        order = np.random.default_rng(config.seed).permutation(cells)
        held_out, self._cells = np.split(order, [round(config.held_out * cells)])
        self.held_out = np.sort(held_out)
        self.epochs = config.epochs or default_epochs(self._cells.size)
        self._size = max(1, min(config.batch_size, self._cells.size))
        self.steps_per_epoch = -(-self._cells.size // self._size)
        self._warm, self._seed = config.warm_up * self.epochs, config.seed
        self._order = lru_cache(maxsize=1)(self._shuffled)

    def batch(self, step: int) -> CellBatch:
        """Cells of a step, from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._order(epoch)[place * self._size : (place + 1) * self._size]
        weights = (np.arange(self._size) < rows.size).astype(np.float32)
        weight = min(1.0, epoch / self._warm) if self._warm else 1.0
        return CellBatch(np.resize(rows, self._size), weights, weight, 1 / self._cells.size)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self._seed, epoch]).permutation(self._cells)


class VAEObjective:
    """Sum of losses of some cells and of their weights, as ``TrainingStep`` takes it.

    Args:
        vae: What is trained; its parameters here are not changed.

    Attributes:
        parameters: The autoencoder's, to start from.
    """

    def __init__(self, vae: VAENormalizer) -> None:
        was_deterministic = vae.deterministic
        vae.train_mode()
        self._graph, self.parameters, self._others = nnx.split(vae, nnx.Param, ...)
        vae.set_training(not was_deterministic)

    def __call__(
        self, parameters: PyTree, batch: dict[str, Array], keys: Key[Array, "cells"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """See ``Objective``; ``keys`` are of each cell's latent and dropout."""
        vae = nnx.merge(self._graph, parameters, self._others)
        losses = _losses(vae, batch, keys)
        return (losses * batch["weights"]).sum(), batch["weights"].sum()


def default_epochs(cells: int) -> int:
    """Epochs that scVI would make over so many cells."""
    return max(1, min(round(_CELLS_FOR_ALL_EPOCHS / max(cells, 1) * _MOST_EPOCHS), _MOST_EPOCHS))


def evidence_bound(
    vae: VAENormalizer,
    counts: CountMatrix,
    *,
    cells: Int[np.ndarray, "chosen"] | None = None,
    batch_labels: Int[np.ndarray, "cells"] | None = None,
    seed: int = 0,
    batch_size: int = 512,
) -> Bound:
    """Negative evidence lower bound of cells, from one draw of each latent and without dropout.

    Args:
        vae: The autoencoder.
        counts: Cells by genes.
        cells: Which of them; all if None.
        batch_labels: Batch of each cell of `counts`, where the decoder is told it.
        seed: Of the draws.
        batch_size: Cells at once.
    """
    labels = checked_labels(vae, counts, batch_labels)
    chosen = np.arange(counts.shape[0]) if cells is None else np.asarray(cells)
    total = np.zeros(2)
    for step, batch in enumerate(_batches(counts, labels, chosen, batch_size)):
        key = jax.random.fold_in(jax.random.key(seed), step)
        total += np.asarray(_parts(vae, batch, key), float)
    return Bound(*(float(part) for part in total / max(chosen.size, 1)))


class _Objective(OperatorModule):
    """Mean loss of a batch of cells, as an operator that a trainer takes."""

    def __init__(self, vae: VAENormalizer):
        super().__init__(vae.config)
        self.vae = vae

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        losses = _losses(self.vae, data, jax.random.split(random_params, data["labels"].size))
        return {"loss": (losses * data["weights"]).sum() / data["weights"].sum()}, state, metadata


def _losses(vae: VAENormalizer, batch: dict[str, Array], keys: Array) -> Float[Array, " cells"]:
    def loss(counts: Array, label: Array, key: Array) -> Array:
        return vae.compute_elbo_loss(counts, counts.sum(), key, label, batch["divergence_weight"])

    return jax.vmap(loss)(batch["counts"], batch["labels"], keys) + batch["prior_weight"] * vae.prior_loss()


def _loss(found: dict[str, Array], _: None) -> Array:
    return found["loss"]


@jax.jit
def _parts(vae: VAENormalizer, batch: dict[str, Array], key: Array) -> Float[Array, "2"]:
    counts, weights = batch["counts"], batch["weights"]
    mean, logvar = vae.encode(counts)
    z = mean + jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape, mean.dtype)
    log_probs = vae.log_prob(counts, vae.decode(z, counts.sum(axis=1), batch["labels"])).sum(axis=1)
    divergences = jax.vmap(vae.kl_divergence)(mean, logvar)
    return jnp.stack([-(log_probs * weights).sum(), (divergences * weights).sum()])


def _batches(
    counts: CountMatrix, labels: np.ndarray, order: np.ndarray, size: int
) -> Iterator[dict[str, Num[np.ndarray, "..."]]]:
    """Dense cells in an order, `size` at a time; what fills up the last batch has weight 0."""
    size = min(size, order.size)
    for start in range(0, order.size, size):
        rows = order[start : start + size]
        filled = np.resize(rows, size)
        yield {
            "counts": counts.rows(filled).astype(np.float32),
            "labels": labels[filled],
            "weights": (np.arange(size) < rows.size).astype(np.float32),
        }


def start_from_means(vae: VAENormalizer, counts: CountMatrix) -> None:
    """Let a new decoder begin at the genes' mean shares: it need not learn them by small steps."""
    bias = vae.fc_output.bias
    assert bias is not None
    if np.any(np.asarray(bias[...])):
        return
    totals = np.zeros(counts.shape[1])
    for _, block in counts.blocks():
        totals += np.asarray(block.sum(axis=0), float).ravel()
    # Half a count for genes that were never seen, so that their logarithm is finite.
    bias[...] = jnp.asarray(np.log((totals + 0.5) / totals.sum()), jnp.float32)


def checked_labels(vae: VAENormalizer, counts: CountMatrix, labels: np.ndarray | None) -> Int[np.ndarray, "cells"]:
    """Refuse cells that an autoencoder cannot take; their labels, zeros where it needs none.

    Raises:
        ValueError: Other genes than configured, no counts, or labels that do not fit.
    """
    if counts.shape[1] != vae.config.n_genes:
        raise ValueError(f"VAE training: counts have {counts.shape[1]} genes, the autoencoder {vae.config.n_genes}")
    check_count_matrix("VAE training", counts)
    if labels is None:
        if vae.config.use_batch_correction:
            raise ValueError("VAE training: use_batch_correction needs batch_labels")
        return np.zeros(counts.shape[0], np.int32)
    labels = np.asarray(labels)
    if labels.shape != counts.shape[:1]:
        raise ValueError(f"VAE training: batch_labels have shape {labels.shape}, expected ({counts.shape[0]},)")
    check_labels("VAE training", "batch_labels", labels, vae.config.n_batches)
    return labels.astype(np.int32)


def check_count_matrix(owner: str, counts: CountMatrix) -> None:
    """Refuse a matrix with a value that is no count, or a cell without any; read a few thousand cells at a time.

    Args:
        owner: Who needs it, for messages.
        counts: Cells by genes.

    Raises:
        ValueError: A value is NaN, infinite or negative, or a cell has no counts; it is named by cell and gene.
    """
    for rows, block in counts.blocks():
        values = np.asarray(getattr(block, "data", block) if counts.is_sparse else block)
        if not (np.isfinite(values).all() and (values >= 0).all()):
            dense = counts.rows(rows)
            cell, gene = np.argwhere(~(np.isfinite(dense) & (dense >= 0)))[0]
            raise ValueError(
                f"{owner}: cell {rows[cell]} has {dense[cell, gene]} for gene {gene}; give raw counts, 0 or more"
            )
        empty = np.flatnonzero(np.asarray(block.sum(axis=1)).ravel() == 0)
        if empty.size:
            raise ValueError(
                f"{owner}: cell {rows[empty[0]]} has no counts, nor have {empty.size - 1} of the next; "
                "remove empty cells first"
            )
