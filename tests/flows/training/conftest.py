"""A window store with a truth, to train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from diffbio_core.simulation.variants import VariantModel
from diffbio_flows import ingest_reads
from diffbio_io.simulation.dataset import simulate_dataset


@dataclass(frozen=True)
class KnownSample:
    """A store, and what is true of it."""

    store: Path
    truth: Path
    confident: Path

    @property
    def fields(self) -> dict[str, object]:
        """As `TrainParameters` takes them."""
        return {"store": str(self.store), "truth": self.truth, "confident": self.confident}


@pytest.fixture(scope="session")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster file: all work in this process."""
    path = tmp_path_factory.mktemp("cluster") / "here.toml"
    path.write_text('kind = "in-process"\n')
    return path


@pytest.fixture(scope="session")
def known_sample(tmp_path_factory: pytest.TempPathFactory, in_process: Path) -> KnownSample:
    """Two contigs of 20 kb at 20x, with many variants."""
    folder = tmp_path_factory.mktemp("known")
    made = simulate_dataset(
        folder, contigs=2, length=20_000, depth=20.0, seed=5, variants=VariantModel().scaled(6), threads=1
    )
    store = folder / "windows.zarr"
    ingest_reads(reads=made.reads, reference=made.reference, store=str(store), cluster=in_process)
    return KnownSample(store, made.truth, made.confident)
