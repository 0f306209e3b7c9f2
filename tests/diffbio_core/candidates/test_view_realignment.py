"""Reads that an aligner wrote without an indel are held against its allele."""

import numpy as np
import pytest

from diffbio_core.candidates.views import DIFFERS, SUPPORTS, UNINFORMATIVE, cut_views
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, pack, write_bam

REFERENCE = "".join(np.random.default_rng(3).choice(list("ACGT"), 512))
AT = 200
"""Column before the indels of these tests."""


@pytest.fixture
def role_of(tmp_path):
    """Role of one read beside two that show an indel at ``AT``."""

    def role(shows, read, reference=REFERENCE):
        reads = [shows("a"), shows("b"), read]
        bam = write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)})
        with AlignmentReader(bam) as reader:
            (planes,) = pack(reader, reference, WindowGrid(512, 256, 1))
        table = planes.candidates
        indel = int(np.argmax(np.diff(table.support_start)))
        views = cut_views(planes, np.array([indel], np.int32), 32)
        assert (views.crowd[0] > 0) == (len(table) > 1)
        quality = views.mapping_quality[0]
        (row,) = np.flatnonzero(quality == 31)
        return (int(views.group[0, row]) - 1) // 2

    return role


def haplotype(deleted=0, inserted="", reference=REFERENCE):
    return reference[: AT + 1] + inserted + reference[AT + 1 + deleted :]


def deletion_read(name):
    return Sam(
        AT - 60, "61M5D60M", REFERENCE[AT - 60 : AT + 1] + REFERENCE[AT + 6 : AT + 66], name=name, mapping_quality=60
    )


def insertion_read(name):
    bases = REFERENCE[AT - 60 : AT + 1] + "GATTACA" + REFERENCE[AT + 1 : AT + 61]
    return Sam(AT - 60, "61M7I60M", bases, name=name, mapping_quality=60)


def ungapped(start, bases):
    """The read in question, aligned base by base."""
    return Sam(start, f"{len(bases)}M", bases, name="read", mapping_quality=31)


def test_a_read_of_the_allele_that_ends_past_a_deletion_shows_it(role_of):
    bases = haplotype(deleted=5)[AT - 80 : AT + 9]
    assert role_of(deletion_read, ungapped(AT - 80, bases)) == SUPPORTS


def test_a_read_of_the_allele_that_starts_before_a_deletion_shows_it(role_of):
    # Its right part is in place, so its first bases stand five columns to the right of where they belong.
    bases = haplotype(deleted=5)[AT - 7 : AT + 80]
    assert role_of(deletion_read, ungapped(AT - 2, bases)) == SUPPORTS


def test_a_read_of_the_allele_that_ends_in_an_insertion_shows_it(role_of):
    bases = haplotype(inserted="GATTACA")[AT - 80 : AT + 6]
    assert role_of(insertion_read, ungapped(AT - 80, bases)) == SUPPORTS


def test_a_read_of_the_reference_differs(role_of):
    assert role_of(deletion_read, ungapped(AT - 40, REFERENCE[AT - 40 : AT + 40])) == DIFFERS
    assert role_of(insertion_read, ungapped(AT - 40, REFERENCE[AT - 40 : AT + 40])) == DIFFERS


def test_errors_alone_do_not_make_a_read_of_the_reference_show_the_allele(role_of):
    bases = list(REFERENCE[AT - 40 : AT + 40])
    for place in (38, 43, 47, 60):
        bases[place] = "ACGT"[("ACGT".index(bases[place]) + 1) % 4]
    assert role_of(deletion_read, ungapped(AT - 40, "".join(bases))) == DIFFERS


def test_a_read_that_ends_at_the_indel_tells_nothing(role_of):
    assert role_of(deletion_read, ungapped(AT - 60, REFERENCE[AT - 60 : AT + 1])) == UNINFORMATIVE


def test_a_read_that_ends_in_the_repeat_of_the_indel_tells_nothing(role_of):
    repeat = REFERENCE[: AT + 1] + "CACACACACA" + REFERENCE[AT + 11 :]

    def shows(name):
        bases = repeat[AT - 60 : AT + 1] + repeat[AT + 3 : AT + 63]
        return Sam(AT - 60, "61M2D60M", bases, name=name, mapping_quality=60)

    inside = ungapped(AT - 60, repeat[AT - 60 : AT + 8])
    through = ungapped(AT - 60, repeat[AT - 60 : AT + 25])
    assert role_of(shows, inside, repeat) == UNINFORMATIVE
    assert role_of(shows, through, repeat) == DIFFERS


def test_another_indel_in_the_same_place_differs(role_of):
    bases = REFERENCE[AT - 60 : AT + 1] + REFERENCE[AT + 4 : AT + 64]
    other = Sam(AT - 60, "61M3D60M", bases, name="read", mapping_quality=31)
    assert role_of(deletion_read, other) == DIFFERS


def test_a_view_tells_of_candidates_nearby(tmp_path):
    changed = REFERENCE[: AT + 21] + "ACGT"["ACGT".index(REFERENCE[AT + 21]) - 1] + REFERENCE[AT + 22 :]
    snv = [Sam(AT - 10, "60M", changed[AT - 10 : AT + 50], name=name) for name in "cd"]
    bam = write_bam(tmp_path / "reads.bam", [*map(deletion_read, "abe"), *snv], {"c1": len(REFERENCE)})
    with AlignmentReader(bam) as reader:
        (planes,) = pack(reader, REFERENCE, WindowGrid(512, 256, 1))
    views = cut_views(planes, np.arange(2, dtype=np.int32), 32)
    assert views.length.tolist() == [-5, 0]
    assert views.crowd.tolist() == [1, 1]
    assert views.rival.tolist() == [0, 3]
