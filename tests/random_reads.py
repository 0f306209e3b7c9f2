"""Random reads with everything that a BAM record may hold, for tests of laws."""

from __future__ import annotations

import numpy as np

from tests.alignments import Sam

LETTERS = np.array(list("ACGT"))


def random_reference(random: np.random.Generator, length: int) -> str:
    """Bases with repeats, stretches of N and ambiguity codes."""
    bases = random.choice(LETTERS, length)
    for start in random.integers(0, length, length // 60):
        unit = random.choice(LETTERS, random.integers(1, 5))
        run = int(random.integers(4, 30))
        bases[start : start + run] = np.resize(unit, run)[: length - start]
    for start in random.integers(0, length, length // 600):
        bases[start : start + random.integers(1, 12)] = random.choice(["N", "R", "n"])
    lower = random.random(length) < 0.05
    return "".join(np.where(lower, np.char.lower(bases), bases))


def random_reads(
    random: np.random.Generator, reference: str, number: int, *, longest: int = 120, mates: bool = True
) -> list[Sam]:
    """Reads of all kinds, a third of them with a mate that may overlap them, and some that name one another's name."""
    reads = []
    for index in range(number):
        name = f"r{index if random.random() < 0.95 else index // 5}"
        start = int(random.integers(0, len(reference) - 10))
        if mates and random.random() < 0.4:
            other = min(start + int(abs(random.normal(0, longest))), len(reference) - 10)
            flags = 1 | 0x40, 1 | 0x80
            reads.append(_read(random, reference, start, longest, name, flags[0], other))
            reads.append(_read(random, reference, other, longest, name, flags[1] | 16, start))
        else:
            reads.append(_read(random, reference, start, longest, name, 0, None))
    return reads


def _read(
    random: np.random.Generator, reference: str, start: int, longest: int, name: str, flag: int, mate: int | None
) -> Sam:
    flag |= int(random.choice([0, 0, 0, 0, 0, 0, 16, 0x4, 0x100, 0x200, 0x400, 0x800]))
    cigar, sequence = _alignment(random, reference, start, int(random.integers(1, longest)))
    oddity = random.random()
    quality = "".join(chr(33 + int(q)) for q in random.integers(0, 60, len(sequence)))
    if oddity < 0.05:
        quality = "*"
    elif oddity < 0.08:
        sequence = quality = "*"
    elif oddity < 0.1:
        cigar = "*"
    mapping_quality = int(random.choice([0, 3, 30, 60, 255]))
    return Sam(start, cigar, sequence, quality, name, flag, mapping_quality, mate)


def _alignment(random: np.random.Generator, reference: str, start: int, length: int) -> tuple[str, str]:
    """A CIGAR with every operation, and a sequence that follows the reference but for some errors."""
    parts: list[tuple[int, str]] = []
    sequence: list[str] = []
    at = start

    def letters(number: int) -> list[str]:
        return list(random.choice(LETTERS, number))

    def match(run: int) -> None:
        nonlocal at
        kind = str(random.choice(["M", "M", "M", "=", "X"]))
        parts.append((run, kind))
        wanted = [letter.upper() for letter in reference[at : at + run]]
        wanted += letters(run - len(wanted))
        sequence.extend(letters(1)[0] if random.random() < 0.05 else letter for letter in wanted)
        at += run

    def other(kind: str, run: int) -> None:
        nonlocal at
        parts.append((run, kind))
        if kind in "IS":
            sequence.extend(letters(run))
        if kind in "DN":
            at += run

    if random.random() < 0.1:
        parts.append((int(random.integers(1, 20)), "H"))
    if random.random() < 0.2:
        other("S", int(random.integers(1, 10)))
    if random.random() < 0.05:
        other(str(random.choice(["I", "D"])), int(random.integers(1, 5)))
    left = length
    while left > 0:
        run = int(min(left, random.integers(1, 60)))
        match(run)
        left -= run
        if left > 0 or random.random() < 0.05:
            for kind in random.choice(["I", "D", "N", "ID", "DI", "IPI"], p=[0.4, 0.4, 0.05, 0.05, 0.05, 0.05]):
                other(kind, 1 if kind == "P" else int(min(random.geometric(0.2), 40)) * (8 if kind == "N" else 1))
    if parts[-1][1] == "N":
        match(1)
    if random.random() < 0.2:
        other("S", int(random.integers(1, 10)))
    if random.random() < 0.1:
        parts.append((int(random.integers(1, 20)), "H"))
    return "".join(f"{run}{kind}" for run, kind in parts), "".join(sequence)
