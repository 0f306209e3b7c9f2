"""The messages between a run and its workers, and the files by which a shard counts as done."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from diffbio_core.windows.grid import Shard, WindowGrid

FORMAT = 1
MARKER = ".json"


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs to process one shard; small, since every shard sends one.

    Attributes:
        shard: Which windows.
        grid: The grid that the shard is cut from.
        intervals: What was asked for of the shard's core, 0-based half-open, sorted.
        reads: BAM or CRAM file.
        reference: FASTA file.
        sample: Whose reads, and the name in the VCF.
        work: The run's work directory; may hold an index of the reference.
        ploidy: Copies of this contig, 1 or 2.
        model: Model directory; not needed to ingest.
        calls: Folder for the shard's calls and its marker; not needed to ingest.
        store: Window store to fill, a path or URL; None keeps windows in memory only.
        gvcf: Whether reference blocks are wanted too.
    """

    shard: Shard
    grid: WindowGrid
    intervals: tuple[tuple[int, int], ...]
    reads: str
    reference: str
    sample: str
    work: str
    ploidy: int = 2
    model: str = ""
    calls: str = ""
    store: str | None = None
    gvcf: bool = False

    @property
    def name(self) -> str:
        """The shard's name, for files and messages."""
        return self.shard.name


@dataclass(frozen=True)
class ShardResult:
    """What a worker says about a finished shard; the calls themselves lie in files.

    Attributes:
        name: The shard's name.
        core_bp: Reference positions that were asked for and processed (bp).
        counters: Counts by name, added over shards: reads used, reads set aside by reason, candidates, windows.
        seconds: Time per stage.
        peak_memory_mb: Highest resident memory of the worker so far (MB).
        files: SHA-256 of each of the shard's files by its name's ending, such as ``.vcf``.
    """

    name: str
    core_bp: int
    counters: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)


def commit_shard(folder: str | os.PathLike[str], result: ShardResult, texts: Mapping[str, str]) -> ShardResult:
    """Writes a shard's files and then, last, its marker; each appears whole or not at all.

    Args:
        folder: Where they go.
        result: Without ``files``.
        texts: Content by file name ending, such as ``{".vcf": lines}``.

    Returns:
        The result with the checksums of its files.
    """
    data = {ending: text.encode() for ending, text in texts.items()}
    for ending, content in data.items():
        write_whole(shard_path(folder, result.name, ending), content)
    checksums = {ending: hashlib.sha256(content).hexdigest() for ending, content in data.items()}
    done = ShardResult(**{**asdict(result), "files": checksums})
    write_whole(shard_path(folder, result.name, MARKER), json.dumps({"format": FORMAT, **asdict(done)}).encode())
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
    return ShardResult(**entries)


def shard_path(folder: str | os.PathLike[str], name: str, ending: str) -> Path:
    """A shard's file; a contig's name may hold characters that a file's name may not."""
    return Path(folder, quote(name, safe="+,:;=@^~*") + ending)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file aside and renames it, so that no reader and no crash ever sees half of it."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
