"""A recipe: training sets that are simulated on the way, beside those that are there, and how to train on them."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diffbio_core.problems import InputError, Problem
from diffbio_core.simulation.genome import draw_slices
from diffbio_core.simulation.libraries import draw_library
from diffbio_core.simulation.variants import VariantModel
from diffbio_core.whole_file import write_whole
from diffbio_flows.runs.ingest import ingest_reads
from diffbio_flows.training.sets import TrainingSet
from diffbio_io.reference import Reference
from diffbio_io.simulation.dataset import simulate_dataset

_MADE = "made.json"


class SimulatedSet(BaseModel):
    """A sample that is simulated, from a library that is drawn, too.

    Attributes:
        name: Of the set.
        seed: Of library, slices, variants and reads.
        megabases: Size.
        reference: FASTA whose slices variants are drawn on, relative to the recipe; a random genome if not given.
        depths: Least and most mean depth of the library.
        rate: Variants, as multiple of a human's.
        role: Whether all of it is trained on, or kept apart to measure by.
        weight: See `TrainingSet`.
        depth: See `TrainingSet`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w.-]+$")
    seed: int = Field(ge=0)
    megabases: float = Field(gt=0, le=1000)
    reference: Path | None = None
    depths: tuple[float, float] = (3.0, 100.0)
    rate: float = Field(default=1.5, gt=0)
    role: Literal["training", "validation"] = "training"
    weight: float = Field(default=1.0, gt=0, le=100)
    depth: tuple[float, float] | None = None


class Recipe(BaseModel):
    """All that makes a model.

    Attributes:
        options: Fields of `TrainParameters` that the recipe fixes, such as ``epochs``.
        simulated: Samples to simulate.
        set: Samples that are there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: dict[str, Any] = {}
    simulated: tuple[SimulatedSet, ...] = Field(min_length=1)
    set: tuple[TrainingSet, ...] = ()


def shipped_recipe() -> Path:
    """The recipe of the shipped model."""
    return Path(__file__).resolve().parent / "shipped.toml"


def is_recipe(path: str | os.PathLike[str]) -> bool:
    """Whether a TOML file has samples to simulate."""
    try:
        return "simulated" in tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False  # whoever reads it as sets tells why


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """A recipe, its paths taken from the file's folder.

    Raises:
        InputError: It is faulty, or a reference is missing.
    """
    path = Path(path)
    try:
        recipe = Recipe(**tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except ValidationError as error:
        raise InputError(
            [
                Problem(str(path), f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}", "Mend the recipe.")
                for entry in error.errors()
            ]
        ) from error
    folder = path.absolute().parent
    simulated = tuple(
        one if one.reference is None else one.model_copy(update={"reference": folder / one.reference})
        for one in recipe.simulated
    )
    missing = sorted({one.reference for one in simulated if one.reference is not None and not one.reference.exists()})
    if missing:
        remedy = "The recipe draws variants on it: put it there."
        raise InputError([Problem(str(path), f"there is no {reference}", remedy) for reference in missing])
    return recipe.model_copy(update={"simulated": simulated, "set": tuple(one.within(folder) for one in recipe.set)})


def make_sets(
    recipe: Recipe,
    folder: Path,
    told: Callable[[str, int, int, float | None], None] = lambda stage, done, steps, loss: None,
    **where: Any,
) -> tuple[TrainingSet, ...]:
    """Simulates and ingests what is not there yet.

    Args:
        recipe: What.
        folder: A folder of each sample is made in it; those that an earlier run has finished are taken as they are.
        told: Told how far it is.
        **where: ``workers``, ``scheduler`` and ``cluster`` of the ingest.

    Returns:
        All sets of the recipe.
    """
    found: list[TrainingSet] = []
    for number, one in enumerate(recipe.simulated):
        told(f"making set {one.name}", number, len(recipe.simulated), None)
        found.append(_make(one, folder / one.name, where))
    return (*found, *recipe.set)


def _make(one: SimulatedSet, folder: Path, where: dict[str, Any]) -> TrainingSet:
    from diffbio_core import __version__

    # What a made set follows from: the same specification, by the same version.
    entries = {"diffbio": __version__, **one.model_dump(mode="json", exclude={"role", "weight", "depth"})}
    identity = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
    store, marker = folder / "windows.zarr", folder / _MADE
    if not marker.exists() or json.loads(marker.read_bytes()) != {"made_of": identity}:
        marker.unlink(missing_ok=True)
        rng = np.random.default_rng([one.seed, 1])
        library = draw_library(rng, one.depths)
        made = simulate_dataset(
            folder,
            reference=one.reference,
            regions=_slices(one) if one.reference is not None else (),
            length=round(one.megabases * 1e6),
            depth=library.depth,
            read_length=library.read_length,
            seed=one.seed,
            sample=one.name,
            sequencing=library,
            variants=VariantModel().scaled(one.rate),
        )
        ingest_reads(reads=made.reads, reference=made.reference, store=str(store), force=True, **where)
        for path in folder.glob("reads.bam*"):
            path.unlink()  # the store holds them
        write_whole(marker, json.dumps({"made_of": identity}))
    contigs = tuple(json.loads((store / "zarr.json").read_bytes())["attributes"]["intervals"])
    return TrainingSet(
        name=one.name,
        store=str(store.absolute()),
        truth=(folder / "truth.vcf.gz").absolute(),
        confident=(folder / "confident.bed").absolute(),
        weight=one.weight,
        depth=one.depth,
        validation=contigs if one.role == "validation" else (),
    )


def _slices(one: SimulatedSet) -> list[str]:
    """Slices of the reference, as 1-based regions."""
    assert one.reference is not None
    with Reference(one.reference) as fasta:
        genome = {contig: fasta.codes(contig, 0, length) for contig, length in fasta.contigs.items()}
    slices = draw_slices(genome, round(one.megabases * 1e6), np.random.default_rng(one.seed))
    return [f"{contig}:{start + 1}-{stop}" for contig, start, stop in slices]
