"""Which cell types and perturbations of which files are for training, validation and test: cell-load's TOML."""

from __future__ import annotations

import glob
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbio_core.problems import InputError, Problem
from diffbio_core.structural import StructuralConfig

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DatasetEntry:
    """A data set of an experiment.

    Attributes:
        name: Its name in the experiment.
        path: A file, a folder of .h5ad files, or a pattern (`*`, `?`, `{a,b}`).
    """

    name: str
    path: str

    def files(self) -> list[Path]:
        """Its files, sorted."""
        path = Path(self.path)
        if path.is_file():
            return [path]
        if path.is_dir():
            return sorted(file for ending in ("*.h5", "*.h5ad") for file in path.glob(ending))
        patterns = _without_braces(self.path)
        return sorted({Path(file) for pattern in patterns for file in glob.glob(pattern) if Path(file).is_file()})


@dataclass(frozen=True)
class ZeroshotEntry:
    """A cell type that is held out as a whole.

    Attributes:
        dataset: Data set that it is of.
        cell_type: The cell type.
        split: "val" or "test" ("train" changes nothing).
    """

    dataset: str
    cell_type: str
    split: str


@dataclass(frozen=True)
class FewshotEntry:
    """Perturbations that are held out within a cell type; the others are trained on.

    Attributes:
        dataset: Data set that it is of.
        cell_type: The cell type.
        val_perturbations: Perturbations for validation.
        test_perturbations: Perturbations for test.
    """

    dataset: str
    cell_type: str
    val_perturbations: tuple[str, ...] = ()
    test_perturbations: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExperimentConfig(StructuralConfig):
    """An experiment.

    Attributes:
        datasets: Data sets and where they are.
        training_datasets: Names of those whose other cell types are trained on.
        zeroshot: Cell types held out.
        fewshot: Perturbations held out within cell types.
    """

    datasets: tuple[DatasetEntry, ...] = ()
    training_datasets: tuple[str, ...] = ()
    zeroshot: tuple[ZeroshotEntry, ...] = ()
    fewshot: tuple[FewshotEntry, ...] = ()

    def get_all_datasets(self) -> set[str]:
        """Names of the data sets that the experiment uses."""
        return {*self.training_datasets, *(entry.dataset for entry in (*self.zeroshot, *self.fewshot))}

    def get_zeroshot_celltypes(self, dataset: str) -> dict[str, str]:
        """Split by held-out cell type of a data set."""
        return {entry.cell_type: entry.split for entry in self.zeroshot if entry.dataset == dataset}

    def get_fewshot_celltypes(self, dataset: str) -> dict[str, FewshotEntry]:
        """Held-out perturbations by cell type of a data set."""
        return {entry.cell_type: entry for entry in self.fewshot if entry.dataset == dataset}

    def validate(self) -> None:
        """Check what can be checked without the data.

        Raises:
            InputError: A data set without a path, another split than train, val or test, a cell type held out twice, or
                a perturbation both for validation and for test; all that is wrong at once.
        """
        problems = [
            Problem(f"data set {name!r}", "has no path", "Add it to [datasets].")
            for name in sorted(self.get_all_datasets() - {entry.name for entry in self.datasets})
        ]
        for entry in self.zeroshot:
            where = f"[zeroshot] {entry.dataset}.{entry.cell_type}"
            if entry.split not in SPLITS:
                problems.append(Problem(where, f"split {entry.split!r} is none of {', '.join(SPLITS)}", "Give one."))
            if entry.cell_type in self.get_fewshot_celltypes(entry.dataset):
                problems.append(Problem(where, "is held out in [fewshot], too", "Name it in one of them."))
        for entry in self.fewshot:
            twice = sorted(set(entry.val_perturbations) & set(entry.test_perturbations))
            if twice:
                where = f"[fewshot] {entry.dataset}.{entry.cell_type}"
                problems.append(Problem(where, f"{', '.join(twice)} are in val and in test", "Keep them in one."))
        if problems:
            raise InputError(problems)

    def save_config(self, path: str | Path) -> None:
        """Write the experiment as TOML that `load_experiment_config` reads back."""
        lines = ["[datasets]", *(f"{_key(entry.name)} = {_key(entry.path)}" for entry in self.datasets), ""]
        lines += ["[training]", *(f'{_key(name)} = "train"' for name in self.training_datasets)]
        if self.zeroshot:
            lines += ["", "[zeroshot]"]
            lines += [f"{_key(f'{entry.dataset}.{entry.cell_type}')} = {_key(entry.split)}" for entry in self.zeroshot]
        for entry in self.fewshot:
            lines += ["", f"[fewshot.{_key(f'{entry.dataset}.{entry.cell_type}')}]"]
            for split, names in (("val", entry.val_perturbations), ("test", entry.test_perturbations)):
                lines += [f"{split} = [{', '.join(map(_key, names))}]"] if names else []
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_experiment_config(path: str | Path) -> ExperimentConfig:
    """Read an experiment from TOML, in cell-load's form.

    Args:
        path: File with `[datasets]` name = "path", `[training]` name = "train", `[zeroshot]`
            "dataset.celltype" = "val" or "test", and `[fewshot."dataset.celltype"]` val = [..], test = [..].

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no TOML, or has sections, keys or values that mean nothing; all that is wrong at once.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Give an experiment as TOML.")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(path), f"is no TOML: {error}", "Give an experiment as TOML.")]) from error
    problems = list(_problems(str(path), raw))
    if problems:
        raise InputError(problems)
    return ExperimentConfig(
        datasets=tuple(DatasetEntry(name, where) for name, where in raw.get("datasets", {}).items()),
        training_datasets=tuple(raw.get("training", {})),
        zeroshot=tuple(
            ZeroshotEntry(dataset, cell_type, split)
            for (dataset, cell_type), split in _by_cell_type(raw.get("zeroshot", {}))
        ),
        fewshot=tuple(
            FewshotEntry(dataset, cell_type, tuple(held.get("val", ())), tuple(held.get("test", ())))
            for (dataset, cell_type), held in _by_cell_type(raw.get("fewshot", {}))
        ),
    )


def _by_cell_type(section: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Entries by data set and cell type, whose name may have dots, too."""
    for key, value in section.items():
        dataset, _, cell_type = key.partition(".")
        yield (dataset, cell_type), value


def _problems(path: str, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What of a TOML file would be passed over or misread."""
    sections = ("datasets", "training", "zeroshot", "fewshot")
    for section, entries in raw.items():
        if section not in sections:
            yield Problem(path, f"section [{section}] means nothing", f"Sections are {', '.join(sections)}.")
        elif not isinstance(entries, dict):
            yield Problem(path, f"{section} is no section", f"Write [{section}] and its entries below.")
        elif section == "fewshot":
            yield from _fewshot_problems(path, entries)
        else:
            for key, value in entries.items():
                if not isinstance(value, str):
                    remedy = 'Put names with dots into quotation marks: "dataset.celltype".'
                    yield Problem(path, f"[{section}] {key} is {value!r}, no text", remedy)
                elif section == "training" and value != "train":
                    yield Problem(path, f"[training] {key} is {value!r}", 'The only value is "train".')
                elif section == "zeroshot" and "." not in key:
                    yield Problem(path, f"[zeroshot] {key} names no cell type", 'Write "dataset.celltype".')


def _fewshot_problems(path: str, entries: Mapping[str, Any]) -> Iterator[Problem]:
    for key, held in entries.items():
        where = f'[fewshot."{key}"]'
        if "." not in key or not isinstance(held, dict):
            yield Problem(path, f"{where} names no cell type", 'Write [fewshot."dataset.celltype"].')
            continue
        for split, names in held.items():
            if split not in ("val", "test"):
                yield Problem(path, f"{where} {split} means nothing", "Its keys are val and test.")
            elif not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
                yield Problem(path, f"{where} {split} is no list of names", f'Write {split} = ["A", "B"].')


def _key(text: str) -> str:
    """Text as TOML's basic string, which escapes as JSON does."""
    return json.dumps(text, ensure_ascii=False)


def _without_braces(pattern: str) -> list[str]:
    """A pattern once for each choice in its first {a,b}, and so on."""
    choice = re.search(r"\{([^{}]+)\}", pattern)
    if not choice:
        return [pattern]
    before, after = pattern[: choice.start()], pattern[choice.end() :]
    return [whole for option in choice[1].split(",") for whole in _without_braces(before + option.strip() + after)]
