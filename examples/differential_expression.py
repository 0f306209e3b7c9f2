"""Which genes change when a splicing factor is knocked down, and which sample decides that a gene does.

Run it with `python examples/differential_expression.py [COUNTS.csv.gz]`, the counts of a knock-down of pasilla in cells
of Drosophila: 3 treated and 4 untreated samples, some of them sequenced single-read. It shows what a second factor in
the design changes, and takes gradients: how far a gene's fold change moves with its reads in each sample.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from diffbio_core.operators.statistical.differential_expression import DifferentialExpression
from diffbio_core.pipelines import DEPipelineConfig, DifferentialExpressionPipeline

PASILLA = Path(__file__).parents[2] / "shared" / "data" / "expression" / "pasilla_counts.csv.gz"
SINGLE_READ = "treated1", "untreated1", "untreated2"
CONTRAST = "condition", "treated", "untreated"
GENE = "FBgn0039155"


def main(file: Path) -> tuple[DifferentialExpression, np.ndarray]:
    """Print a table of genes, how designs differ, and a gene's gradient."""
    counts = pd.read_csv(file, index_col=0)
    samples = pd.DataFrame(
        {
            "condition": [name.rstrip("0123456789") for name in counts],
            "type": ["single" if name in SINGLE_READ else "paired" for name in counts],
        },
        index=counts.columns,
    )
    one, two = (
        DifferentialExpressionPipeline(DEPipelineConfig()).fit(
            counts, design, CONTRAST, samples=samples, alpha=0.05, shrink=True
        )
        for design in ("~ condition", "~ type + condition")
    )
    for design, result in (("~ condition", one), ("~ type + condition", two)):
        told = result.summary()
        print(f"{design:20} {told['higher']} higher, {told['lower']} lower, {told['filtered']} too low to tell")

    strongest = two.table().sort_values("padj").head(5)
    print(strongest[["base_mean", "log_fold_change", "shrunken_log_fold_change", "padj"]].to_string())

    pull = pull_of_samples(counts, samples, GENE)
    print(f"\n{GENE}: log2 fold change per further 1 % of a sample's reads of it")
    for name, value in zip(counts, pull, strict=True):
        print(f"  {name:12} {counts.loc[GENE, name]:6d} reads  {value:+.5f}")
    return two, pull


def pull_of_samples(counts: pd.DataFrame, samples: pd.DataFrame, gene: str) -> np.ndarray:
    """How the fold change of a gene answers to 1 % more of its reads in each sample.

    Args:
        counts: Genes by samples.
        samples: Their conditions.
        gene: The gene.
    """
    values = jnp.asarray(counts.to_numpy().T, dtype=float)
    design = np.column_stack([np.ones(len(samples)), samples["condition"] == "treated"]).astype(float)
    pipeline = DifferentialExpressionPipeline(DEPipelineConfig(n_genes=values.shape[1]))
    place = counts.index.get_loc(gene)

    def change(values: jax.Array) -> jax.Array:
        return pipeline.apply({"counts": values, "design": design}, {}, None)[0]["log_fold_change"][place]

    return np.asarray(0.01 * values * jax.grad(change)(values))[:, place]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PASILLA)
