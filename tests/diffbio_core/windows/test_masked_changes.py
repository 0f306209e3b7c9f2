"""A changed base in a longer homopolymer, which aligners write as an insertion."""

import numpy as np
import pytest

from diffbio_core.windows.encoding import BASES, CODE_MASK, INSERTION_FOLLOWS
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, pack, write_bam

BEFORE = "".join(np.random.default_rng(8).choice(list("ACGT"), 299)) + "C"
AFTER = "G" + "".join(np.random.default_rng(9).choice(list("ACGT"), 700))
ANCHOR = len(BEFORE) - 1


@pytest.fixture
def proposed(tmp_path):
    """Candidates of reads with an insertion: (position, length, new bases), and the planes."""

    def make(tract, at, inserted, *, quality="I", unit="A", grid=(1024, 256, 1), reads=4):
        reference = BEFORE + (unit * tract)[:tract] + AFTER
        start = ANCHOR - 29
        head = reference[start : at + 1]
        tail = reference[at + 1 : at + 1 + 100 - len(head) - len(inserted)]
        qualities = "I" * len(head) + quality * len(inserted) + "I" * len(tail)
        cigar = f"{len(head)}M{len(inserted)}I{len(tail)}M"
        made = [Sam(start, cigar, head + inserted + tail, qualities, name=str(copy)) for copy in range(reads)]
        with AlignmentReader(write_bam(tmp_path / "reads.bam", made, {"c1": len(reference)})) as reader:
            shards = list(pack(reader, reference, WindowGrid(*grid)))
        found = []
        for planes in shards:
            table = planes.candidates
            first = planes.shard.first_window * planes.grid.reference_length - planes.grid.halo
            for row in range(len(table)):
                position = first + int(table.window[row]) * planes.grid.reference_length + int(table.column[row])
                bases = table.sequence[slice(*table.sequence_start[row : row + 2])]
                new = BASES[table.code[row]] if table.length[row] == 0 else "".join(BASES[code] for code in bases)
                found.append((position, int(table.length[row]), new))
        return found, shards

    return make


@pytest.mark.parametrize("inserted", ["G", "AG", "AAAG", "GA", "AGAA"])
def test_an_insertion_with_one_other_base_is_a_longer_homopolymer_and_a_changed_base(proposed, inserted):
    at = ANCHOR + 14
    found, (planes,) = proposed(20, at, inserted)
    changed = at + 1 - len(inserted) + inserted.index("G")
    assert found == [(ANCHOR, len(inserted), "A" * len(inserted)), (changed, 0, "G")]
    cells = planes.plane("base")[0, 0]
    shown = "".join(BASES[code] for code in cells[256 + ANCHOR : 256 + ANCHOR + 21] & CODE_MASK)
    assert shown == "C" + "A" * (changed - ANCHOR - 1) + "G" + "A" * (ANCHOR + 20 - changed)
    assert np.flatnonzero(cells & INSERTION_FOLLOWS).tolist() == [256 + changed - 1]


def test_the_insertion_is_noted_where_it_stands_then(proposed):
    _, (planes,) = proposed(20, ANCHOR + 14, "AAG", reads=3)
    assert planes.indels.column.tolist() == [256 + ANCHOR + 13] * 3
    assert planes.indels.length.tolist() == [3] * 3


@pytest.mark.parametrize(
    ("tract", "inserted", "more"),
    [
        (12, "AAG", {}),  # hardly longer than what is inserted
        (20, "GAG", {}),  # two other bases
        (20, "CT", {}),
        (20, "G", {"unit": "AC"}),  # no homopolymer
        (20, "TACACACA", {"unit": "AC"}),
    ],
)
def test_other_insertions_stay_what_they_are(proposed, tract, inserted, more):
    found, _ = proposed(tract, ANCHOR + tract // 2, inserted, **more)
    assert [length for _, length, _ in found] == [len(inserted)]
    assert sorted(found[0][2]) == sorted(inserted)


def test_a_base_of_poor_quality_changes_nothing(proposed):
    found, _ = proposed(20, ANCHOR + 14, "AAG", quality="#")
    assert found == [(ANCHOR, 3, "AAA")]


def test_windows_do_not_show(proposed):
    whole, _ = proposed(40, ANCHOR + 30, "AAAG")
    for length in (256, 297, 301, 320, 330, 331):
        assert proposed(40, ANCHOR + 30, "AAAG", grid=(length, 256 if length >= 256 else length, 1))[0] == whole
