"""What a model is trained on: the TOML file of training sets."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from diffbio_core.problems import InputError, Problem


class TrainingSet(BaseModel):
    """One sample with a known truth.

    Attributes:
        name: In messages, tables and the model's card; the store's name if not given.
        store: Window store, a folder or URL.
        truth: VCF of all variants in the confident regions.
        confident: BED of where absence from the truth means absence.
        truth_sample: Sample of the truth, where it holds several.
        weight: How often an epoch shows each shard: 2 is twice, 0.5 every second one, drawn anew in each epoch.
        depth: Least and greatest depth that windows are thinned to, drawn for each window and epoch, as likely between
            5x and 10x as between 50x and 100x; all reads are kept where not given, and where there are no more.
        training: Regions to train on, such as ``chr20:1-2,000,000`` (1-based); all that is not for validation if empty.
        validation: Regions kept apart: never trained on, measured after each epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    store: str = Field(min_length=1)
    truth: Path
    confident: Path
    truth_sample: str | None = None
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0
    depth: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    training: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _ordered_depth(self) -> Self:
        if self.depth is not None and self.depth[0] > self.depth[1]:
            raise ValueError(f"depth must be [least, greatest], got {list(self.depth)}")
        return self

    @property
    def title(self) -> str:
        """Its name, or that of its store."""
        return self.name or Path(self.store.rstrip("/")).name.removesuffix(".zarr")

    def within(self, folder: Path) -> TrainingSet:
        """The same set, relative paths taken from a folder."""
        store = self.store if "://" in self.store else str((folder / self.store).absolute())
        files = {"truth": (folder / self.truth).absolute(), "confident": (folder / self.confident).absolute()}
        return self.model_copy(update={"store": store, **files})


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    set: list[TrainingSet] = Field(min_length=1)


def read_sets(path: str | os.PathLike[str]) -> tuple[TrainingSet, ...]:
    """The sets of a TOML file, each a table ``[[set]]`` of `TrainingSet`'s attributes; paths are relative to the file.

    Raises:
        InputError: The file is missing or faulty; names each key that is unknown, missing or of another kind.
    """
    path = Path(path)
    try:
        entries: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError([Problem(str(path), f"cannot be read as TOML ({why})", "Give a file of sets.")]) from error
    try:
        found = _File(**entries).set
    except ValidationError as error:
        raise InputError([_problem(path, entry) for entry in error.errors()]) from error
    sets = tuple(one.within(path.parent) for one in found)
    return checked_names(sets, str(path))


def checked_names(sets: tuple[TrainingSet, ...], subject: str) -> tuple[TrainingSet, ...]:
    """The sets, whose names differ.

    Raises:
        InputError: Two have the same.
    """
    titles = [one.title for one in sets]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        remedy = "Give each a name of its own."
        raise InputError([Problem(subject, f"several sets are called {title!r}", remedy) for title in twice])
    return sets


def _problem(path: Path, entry: Any) -> Problem:
    place = [str(part + 1) if isinstance(part, int) else str(part) for part in entry["loc"]]
    where = f"set {place[1]}" if len(place) > 1 and place[0] == "set" else "the file"
    key = ".".join(place[2:] if where != "the file" else place)
    known = TrainingSet.model_fields if where != "the file" else _File.model_fields
    remedy = f"Known keys are {', '.join(known)}."
    if entry["type"] == "extra_forbidden":
        return Problem(str(path), f"{where} has an unknown key {key!r}", remedy)
    if entry["type"] == "missing":
        return Problem(str(path), f"{where} lacks {key!r}" if key else "it has no [[set]]", remedy)
    told = entry["msg"].removeprefix("Value error, ")
    return Problem(str(path), f"{where}: {f'{key}: ' if key else ''}{told}, got {entry['input']!r}", "Mend it.")
