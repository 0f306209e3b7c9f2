"""The files by which a shard counts as done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from diffbio_core.whole_file import whole_file
from diffbio_flows.reports.distributions import Distributions
from diffbio_flows.shards.message import ShardResult, ShardTask

FORMAT = 3
MARKER = ".json"


class RunOverError(RuntimeError):
    """The run that wanted a shard has ended or been replaced; a worker that was given up has found out late."""


def check_wanted(task: ShardTask) -> None:
    """Looks whether a task's run still has its work directory.

    Raises:
        RunOverError: It has not.
    """
    if task.run and recorded_run(task.work) != task.run:
        raise RunOverError(f"the run that wanted shard {task.name} no longer has {task.work}")


def recorded_run(work: str | os.PathLike[str]) -> str:
    """Id of the run that a work directory belongs to; empty where it belongs to none."""
    try:
        entries = json.loads(Path(work, "run.json").read_bytes())
    except (OSError, ValueError):
        return ""
    return str(entries.get("id", "")) if isinstance(entries, dict) else ""


def commit_shard(
    folder: str | os.PathLike[str],
    result: ShardResult,
    contents: Mapping[str, str | bytes],
    check: Callable[[], None] = lambda: None,
) -> ShardResult:
    """Writes a shard's files and then, last, its marker; each appears whole or not at all.

    Args:
        folder: Where they go.
        result: Without ``files``.
        contents: By file name ending, such as ``{".g.vcf": lines}``.
        check: Raises where they are not wanted any more; asked before each appears.

    Returns:
        The result with the checksums of its files.
    """
    data = {ending: new.encode() if isinstance(new, str) else new for ending, new in contents.items()}
    for ending, content in data.items():
        _write(shard_path(folder, result.name, ending), content, check)
    checksums = {ending: hashlib.sha256(content).hexdigest() for ending, content in data.items()}
    done = replace(result, files=checksums)
    _write(shard_path(folder, result.name, MARKER), json.dumps({"format": FORMAT, **asdict(done)}).encode(), check)
    return done


def load_shard(folder: str | os.PathLike[str], name: str) -> ShardResult | None:
    """The result of a finished shard; None where it is not finished or its files are not those of its marker."""
    try:
        result = load_marker(folder, name)
        for ending, checksum in result.files.items():
            if hashlib.sha256(shard_path(folder, name, ending).read_bytes()).hexdigest() != checksum:
                return None
    except (OSError, ValueError, TypeError):
        return None
    return result


def forget_shard(folder: str | os.PathLike[str], name: str) -> None:
    """Has a finished shard count as not done."""
    shard_path(folder, name, MARKER).unlink(missing_ok=True)


def load_marker(folder: str | os.PathLike[str], name: str) -> ShardResult:
    """What a shard's marker says, its files unseen.

    Raises:
        OSError: The shard is not finished.
        ValueError: The marker is not one of this shard.
        TypeError: It has other fields.
    """
    entries: dict[str, Any] = json.loads(shard_path(folder, name, MARKER).read_bytes())
    if not isinstance(entries, dict) or entries.pop("format", None) != FORMAT or entries.get("name") != name:
        raise ValueError(f"{shard_path(folder, name, MARKER)} is not the marker of shard {name}")
    entries["distributions"] = Distributions.from_json(entries.get("distributions", {}))
    return ShardResult(**entries)


def shard_path(folder: str | os.PathLike[str], name: str, ending: str) -> Path:
    """A shard's file; a contig's name may hold characters that a file's name may not."""
    return Path(folder, quote(name, safe="+,:;=@^~*") + ending)


def _write(path: Path, content: bytes, check: Callable[[], None]) -> None:
    # Whoever goes on from here compares checksums, so a file that a power cut has lost is found.
    with whole_file(path, durable=False) as aside:
        aside.write_bytes(content)
        # With the file aside already there: if the folder goes from here on, so does that file, and cannot be renamed.
        check()
