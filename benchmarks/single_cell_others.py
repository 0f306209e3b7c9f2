"""The other side of `single_cell.py`: runs under an interpreter that has harmonypy and scvi-tools installed.

    python single_cell_others.py harmony|vae FOLDER

The arrays to work on lie in FOLDER; the last line of standard output is one object of JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    what, folder = sys.argv[1], Path(sys.argv[2])
    print(json.dumps({"harmony": harmony, "vae": vae}[what](folder)))


def harmony(folder: Path) -> dict[str, Any]:
    import harmonypy

    question = np.load(folder / "question.npz")
    start = time.perf_counter()
    found = harmonypy.run_harmony(question["components"], {"batch": question["batches"]}, "batch", verbose=False)
    seconds = time.perf_counter() - start
    np.save(folder / "answer.npy", found.Z_corr)
    return {"seconds": seconds}


def vae(folder: Path) -> dict[str, Any]:
    import anndata
    import scvi
    from scipy.sparse import load_npz

    question = np.load(folder / "question.npz")
    scvi.settings.seed = 0
    trained, held_out = (anndata.AnnData(load_npz(folder / f"{name}.npz")) for name in ("trained", "held_out"))
    scvi.model.SCVI.setup_anndata(trained)
    model = scvi.model.SCVI(trained, gene_likelihood=str(question["likelihood"]))
    start = time.perf_counter()
    model.train(
        max_epochs=int(question["epochs"]), train_size=1.0, accelerator="cpu", enable_progress_bar=False, logger=False
    )
    seconds = time.perf_counter() - start
    scvi.model.SCVI.setup_anndata(held_out)
    reconstruction = model.get_reconstruction_error(held_out)
    if isinstance(reconstruction, dict):
        reconstruction = reconstruction["reconstruction_loss"]
    return {
        "seconds": seconds,
        "loss": -float(model.get_elbo(held_out)),
        "reconstruction": abs(float(reconstruction)),
    }


if __name__ == "__main__":
    main()
