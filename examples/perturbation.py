"""Predict what two perturbations at once do to cells that only saw them one by one, and see what beats what.

Run it with `python examples/perturbation.py SCREEN.h5ad`, a screen of log1p values such as Norman 2019 (perturbations
named A, B and A+B, label of controls `control`). It holds out the pairs of which both singles were measured, learns an
effect of every gene from pairs of perturbed cells and controls, and compares its predictions with the held-out cells
beside the baselines.

The batches come from the pipeline: every number in them is a cell, and no cell is paired with a control of another
split, so that the controls which the test is measured against were never trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from diffbio_core.evaluation.perturbation import CellGroups, PerturbationScores, evaluate_perturbations
from diffbio_core.pipelines import PerturbationPipeline, PerturbationPipelineConfig
from diffbio_core.pipelines.perturbation import PerturbationPipelineResult
from diffbio_core.sources import ExpressionTable, open_expression

LABELS = {"pert_col": "perturbation", "control_pert": "control"}
EPOCHS = 20
CONTROLS = 8  # per cell: their mean is what a cell would be like without the perturbation, with less noise than one


def main(file: Path, cell_type: str, batch_col: str) -> PerturbationScores:
    """Print what the splits hold and how good the predictions are."""
    table = open_expression(file)
    held_out = pairs_of_known_singles(table, cell_type)
    print(f"held out: {', '.join(held_out)}")
    setup = PerturbationPipeline(
        PerturbationPipelineConfig(
            **LABELS,
            batch_col=batch_col,
            split_mode="fewshot",
            held_out_perturbations=held_out,
            sentence_size=64,
            n_basal_samples=CONTROLS,
        )
    ).setup([file])
    print(setup.split_table)

    of_type = setup.source.cells.cell_types.isin([cell_type])
    genes = sorted({gene for name in setup.source.get_pert_categories() for gene in name.split("+")} - {"control"})
    effects = learn(setup, of_type, genes)
    test = setup.test_indices[of_type[setup.test_indices]]
    real, training = (
        CellGroups.of(table, "perturbation", "control", chosen=np.isin(np.arange(table.n_cells), cells) & of_type)
        for cells in (test, setup.train_indices)
    )
    scores = evaluate_perturbations(
        real, predict(setup, test, effects, genes), training=training, pert_col="perturbation", control_pert="control"
    )
    print(scores)
    return scores


def pairs_of_known_singles(table: ExpressionTable, cell_type: str) -> tuple[str, ...]:
    """Perturbations of two genes, each of which was perturbed alone, too."""
    of_type = table.obs["cell_type"] == cell_type
    names = set(table.obs["perturbation"][of_type])
    return tuple(sorted(name for name in names if "+" in name and set(name.split("+")) <= names))


def learn(setup: PerturbationPipelineResult, of_type: np.ndarray, genes: list[str]) -> jax.Array:
    """Effect of each gene's perturbation on every gene, by gradient descent on pairs of cells."""
    effects = jnp.zeros((len(genes), setup.source.get_n_genes()))
    optimiser = optax.adam(optax.cosine_decay_schedule(0.03, EPOCHS * len(setup.train_sampler)))
    state = optimiser.init(effects)

    def loss(effects, aims, counts, controls, weights):
        predicted = controls.mean(axis=1) + aims @ effects
        return (weights[:, None] * (predicted - counts) ** 2).sum() / weights.sum()

    @jax.jit
    def step(effects, state, *batch):
        change, state = optimiser.update(jax.grad(loss)(effects, *batch), state)
        return optax.apply_updates(effects, change), state

    size = setup.train_sampler.config.sentence_size
    for epoch in range(EPOCHS):
        setup.train_sampler.set_epoch(epoch)
        for cells in setup.train_sampler:
            used = [cell for cell in cells if of_type[cell]]
            if not used:
                continue
            # Repeats of weight 0 make all batches one shape, so that the step is compiled once.
            padded = np.array(used + used[:1] * (size - len(used)))
            batch = setup.get_paired_batch(padded)
            weights = jnp.asarray(np.arange(size) < len(used), jnp.float32)
            aims = multi_hot(batch["pert_name"], genes)
            effects, state = step(effects, state, aims, batch["counts"], batch["control_counts"], weights)
    return effects


def predict(
    setup: PerturbationPipelineResult, cells: np.ndarray, effects: jax.Array, genes: list[str]
) -> anndata.AnnData:
    """Perturbed cells as their controls with the effects of their genes."""
    perturbed = cells[~setup.source.get_control_mask()[cells]]
    batch = setup.get_paired_batch(perturbed)
    values = batch["control_counts"].mean(axis=1) + multi_hot(batch["pert_name"], genes) @ effects
    obs = pd.DataFrame(
        {"perturbation": batch["pert_name"]}, index=[f"predicted{place}" for place in range(len(values))]
    )
    return anndata.AnnData(
        np.maximum(np.asarray(values), 0), obs=obs, var=pd.DataFrame(index=setup.source.get_gene_names())
    )


def multi_hot(names: list[str], genes: list[str]) -> jax.Array:
    """Which genes each perturbation aims at."""
    return jnp.asarray([[gene in name.split("+") for gene in genes] for name in names], jnp.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cell-type", default="k562")
    parser.add_argument("--batch-col", default="dataset")
    arguments = parser.parse_args()
    main(arguments.file, arguments.cell_type, arguments.batch_col)
