"""Planes of a few reads."""

import pytest

from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import pack, write_bam


@pytest.fixture
def planes_of(tmp_path):
    """Packs reads on a contig of 512 bp, in one window."""

    def make(*reads):
        reference = "ACGTTGCA" * 64
        bam = write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)})
        with AlignmentReader(bam) as reader:
            (planes,) = pack(reader, reference, WindowGrid(512, 256, 1))
        return planes

    return make
