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

from diffbio_core import __version__
from diffbio_core.kernel_cache import source_state
from diffbio_core.problems import InputError, Problem
from diffbio_core.simulation.genome import draw_slices
from diffbio_core.simulation.libraries import SLIPPAGE, draw_library
from diffbio_core.simulation.variants import VariantModel
from diffbio_core.whole_file import write_whole
from diffbio_flows.runs.ingest import ingest_reads
from diffbio_flows.runs.work_directory import file_identity
from diffbio_flows.training.sets import TrainingSet, read_sets
from diffbio_io.reference import Reference
from diffbio_io.simulation.dataset import simulate_dataset

_MADE = "made.json"

_MAKERS = "diffbio_core.simulation.libraries", "diffbio_io.simulation.dataset", "diffbio_io.store"
"""Modules whose code a set depends on, beside those with kernels."""


class SimulatedSet(BaseModel):
    """A sample that is simulated, from a library that is drawn, too.

    Attributes:
        name: Of the set.
        seed: Of library, slices, variants and reads.
        megabases: Size.
        reference: FASTA whose slices variants are drawn on, relative to the recipe; a random genome if not given.
        depths: Least and most mean depth of the library.
        slippage: Least and most slippage of the library, as multiples of what is typical.
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
    slippage: tuple[float, float] = SLIPPAGE
    rate: float = Field(default=1.5, gt=0)
    role: Literal["training", "validation"] = "training"
    weight: float = Field(default=1.0, gt=0, le=100)
    depth: tuple[float, float] | None = None


class SequencedSet(BaseModel):
    """A sample whose reads are there, and not yet a window store.

    Attributes:
        name: Of the set.
        reads: Indexed BAM or CRAM, relative to the recipe, as are the other files.
        reference: FASTA that it was aligned to.
        truth: See `TrainingSet`, as for what follows.
        confident: Same.
        weight: Same.
        depth: Same.
        training: Same.
        validation: Same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w.-]+$")
    reads: Path
    reference: Path
    truth: Path
    confident: Path
    weight: float = Field(default=1.0, gt=0, le=100)
    depth: tuple[float, float] | None = None
    training: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()

    def within(self, folder: Path) -> SequencedSet:
        """The same sample, relative paths taken from a folder."""
        names = ("reads", "reference", "truth", "confident")
        return self.model_copy(update={name: folder / getattr(self, name) for name in names})


class Recipe(BaseModel):
    """All that makes a model.

    Attributes:
        options: Fields of `TrainParameters` that the recipe fixes, such as ``epochs``.
        simulated: Samples to simulate.
        sequenced: Samples to ingest.
        set: Samples that are in a window store.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: dict[str, Any] = {}
    simulated: tuple[SimulatedSet, ...] = Field(min_length=1)
    sequenced: tuple[SequencedSet, ...] = ()
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
    sequenced = tuple(one.within(folder) for one in recipe.sequenced)
    needed = {one.reference for one in simulated if one.reference is not None}
    needed |= {file for one in sequenced for file in (one.reads, one.reference, one.truth, one.confident)}
    if missing := sorted(file for file in needed if not file.exists()):
        remedy = "The recipe makes its sets of it: put it there."
        raise InputError([Problem(str(path), f"there is no {file}", remedy) for file in missing])
    there = tuple(one.within(folder) for one in recipe.set)
    return recipe.model_copy(update={"simulated": simulated, "sequenced": sequenced, "set": there})


def files_of(path: str | os.PathLike[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """What a recipe or a file of sets names: files, and window stores, each by set and key.

    Raises:
        InputError: It is faulty.
    """
    files: dict[str, Path] = {}
    sets: tuple[TrainingSet, ...]
    if is_recipe(path):
        recipe = read_recipe(path)
        sets = recipe.set
        files |= {f"{one.name}: reference": one.reference for one in recipe.simulated if one.reference is not None}
        for one in recipe.sequenced:
            names = ("reads", "reference", "truth", "confident")
            files |= {f"{one.name}: {name}": getattr(one, name) for name in names}
    else:
        sets = read_sets(path)
    for one in sets:
        files |= {f"{one.title}: truth": one.truth, f"{one.title}: confident": one.confident}
    return files, {f"{one.title}: store": one.store for one in sets}


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
    made: list[TrainingSet] = []
    number = len(recipe.simulated) + len(recipe.sequenced)
    for one in recipe.simulated:
        told(f"making set {one.name}", len(made), number, None)
        made.append(_simulated(one, folder / one.name, where))
    for one in recipe.sequenced:
        told(f"making set {one.name}", len(made), number, None)
        made.append(_ingested(one, folder / one.name, where))
    return (*made, *recipe.set)


def _simulated(one: SimulatedSet, folder: Path, where: dict[str, Any]) -> TrainingSet:
    store = folder / "windows.zarr"

    def make() -> None:
        library = draw_library(np.random.default_rng([one.seed, 1]), one.depths, one.slippage)
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

    _once(folder, one.model_dump(mode="json", exclude={"role", "weight", "depth"}), make)
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


def _ingested(one: SequencedSet, folder: Path, where: dict[str, Any]) -> TrainingSet:
    store = folder / "windows.zarr"
    identity = {"reads": file_identity(one.reads), "reference": file_identity(one.reference)}
    _once(
        folder,
        {"name": one.name, **identity},
        lambda: ingest_reads(reads=one.reads, reference=one.reference, store=str(store), force=True, **where),
    )
    same = one.model_dump(exclude={"reads", "reference"})
    return TrainingSet(store=str(store.absolute()), **same)


def _once(folder: Path, made_of: dict[str, Any], make: Callable[[], object]) -> None:
    """Makes what a folder holds unless it was made of the same, by the same code, by a run that finished it."""
    entries = {"diffbio": __version__, "sources": source_state(also=_MAKERS), **made_of}
    identity = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
    marker = folder / _MADE
    if marker.exists() and json.loads(marker.read_bytes()) == {"made_of": identity}:
        return
    marker.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    make()
    write_whole(marker, json.dumps({"made_of": identity}))


def _slices(one: SimulatedSet) -> list[str]:
    """Slices of the reference, as 1-based regions."""
    assert one.reference is not None
    with Reference(one.reference) as fasta:
        genome = {contig: fasta.codes(contig, 0, length) for contig, length in fasta.contigs.items()}
    slices = draw_slices(genome, round(one.megabases * 1e6), np.random.default_rng(one.seed))
    return [f"{contig}:{start + 1}-{stop}" for contig, start, stop in slices]
