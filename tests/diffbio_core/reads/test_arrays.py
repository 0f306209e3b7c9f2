"""Planes in the form of reads, and back; the same pileup comes out of both."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.operators.variant import DifferentiablePileup, LanePileup, PileupConfig
from diffbio_core.reads.arrays import cut_reads, lay_in_lanes
from diffbio_core.windows.encoding import NO_READ, PLANES
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.reference import Reference
from tests.alignments import Sam, assert_same_planes, dense_planes, pack, write_bam
from tests.random_reads import random_reads, random_reference
from tests.shared_data import SHARED

REFERENCE = "ACGTTGCA" * 64
GRID = WindowGrid(256, 192, 1)
GRIDS = (WindowGrid(256, 192, 3), WindowGrid(512, 256, 2), WindowGrid(1024, 512, 8))


@pytest.fixture
def shards_of(tmp_path):
    """Packs reads on a contig of 512 bp in windows of 256."""

    def make(*reads, grid=GRID):
        bam = write_bam(tmp_path / "reads.bam", reads, {"c1": len(REFERENCE)})
        with AlignmentReader(bam) as reader:
            return list(pack(reader, REFERENCE, grid))

    return make


def letters(found):
    """Bases of each read: "-" deleted, "N" unknown, nothing for padding."""
    shown = []
    for bases, mask in zip(found["reads"], found["read_mask"], strict=True):
        names = ["N" if base.max() == 0.25 else "ACGT-"[base.argmax() if base.any() else 4] for base in bases]
        shown.append("".join(name for name, there in zip(names, mask, strict=True) if there))
    return shown


def test_a_read_comes_with_its_place_bases_and_qualities(shards_of):
    found = cut_reads(shards_of(Sam(100, "4M", "ACGN", "!+5?", flag=16, mapping_quality=37)), 90, 200)
    np.testing.assert_array_equal(
        found["reads"], [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.25, 0.25, 0.25, 0.25]]]
    )
    assert found["reads"].dtype == found["quality"].dtype == np.float32
    assert found["positions"].tolist() == [10]
    assert found["quality"].tolist() == [[0, 10, 20, 30]]
    assert (found["mapping_quality"].tolist(), found["strand"].tolist()) == ([37], [1])


def test_a_deleted_base_is_zeros_with_a_quality_and_an_inserted_one_has_no_column(shards_of):
    found = cut_reads(shards_of(Sam(100, "2M1D1M2I1M", "ACGTTA", "+5????")), 0, 512)
    assert letters(found) == ["AC-GA"]
    assert found["quality"].tolist() == [[10, 20, 20, 30, 30]]
    assert found["indel"].tolist() == [[0, -1, 0, 2, 0]]


def test_shorter_reads_are_padded_with_zeros(shards_of):
    found = cut_reads(shards_of(Sam(100, "4M", name="a"), Sam(101, "2M", "CC", name="b")), 0, 512)
    assert found["read_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert not found["reads"][1, 2:].any()
    assert found["quality"][1].tolist() == [40, 40, 0, 0]


def test_longer_reads_are_split(shards_of):
    found = cut_reads(shards_of(Sam(100, "7M", "ACGTACC")), 0, 512, read_length=3)
    assert found["positions"].tolist() == [100, 103, 106]
    assert letters(found) == ["ACG", "TAC", "C"]


def test_a_read_that_skips_columns_comes_as_one_read_per_stretch(shards_of):
    found = cut_reads(shards_of(Sam(100, "2M6N3M", "ACGTT")), 0, 512)
    assert found["positions"].tolist() == [100, 108]
    assert letters(found) == ["AC", "GTT"]


def test_reads_are_cut_at_the_ends_of_the_region(shards_of):
    found = cut_reads(shards_of(Sam(100, "8M", "ACGTACGT"), Sam(108, "4M", name="beyond")), 102, 105)
    assert found["positions"].tolist() == [0]
    assert letters(found) == ["GTA"]


def test_a_read_over_the_border_of_two_windows_comes_once_and_whole(shards_of):
    found = cut_reads(shards_of(Sam(250, "12M", "ACGTACGTACGT")), 0, 512)
    assert found["positions"].tolist() == [250]
    assert letters(found) == ["ACGTACGTACGT"]


def test_a_region_without_reads_gives_none(shards_of):
    found = cut_reads(shards_of(), 0, 512)
    assert found["reads"].shape == (0, 0, 4)
    assert found["positions"].shape == (0,)


def test_an_empty_region_or_length_is_refused(shards_of):
    with pytest.raises(ValueError, match="start 5 and stop 5"):
        cut_reads(shards_of(), 5, 5)
    with pytest.raises(ValueError, match="read_length must be positive, got 0"):
        cut_reads(shards_of(), 0, 5, read_length=0)


def test_reads_laid_in_lanes_share_one_where_they_do_not_overlap():
    data = {
        "reads": np.eye(4, dtype=np.float32)[[[0, 1], [2, 3], [1, 1]]],
        "positions": np.array([2, 3, 4]),
        "quality": np.full((3, 2), 20.0),
    }
    laid = lay_in_lanes(data, 6)
    planes = laid.planes
    assert planes["base"].tolist() == [[7, 7, 0 | 8, 1, 1 | 8, 1], [7, 7, 7, 2 | 8, 3, 7]]
    assert planes["base_quality"].tolist() == [[0, 0, 20, 20, 20, 20], [0, 0, 0, 20, 20, 0]]
    assert (laid.reads.first.tolist(), laid.reads.column.tolist()) == ([0, 2, 3], [2, 4, 3])
    assert laid.reads.mapping_quality.tolist() == [60, 60, 60]


def test_soft_bases_are_written_as_their_likeliest():
    bases = [[0.2, 0.7, 0.1, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0]]
    data = {"reads": np.array([bases]), "positions": np.array([0]), "quality": np.full((1, 3), 9.0)}
    assert (lay_in_lanes(data, 3).planes["base"] & 7).tolist() == [[1, 4, 5]]


def test_cells_beside_the_window_are_left_out():
    data = {
        "reads": np.eye(4)[[[0, 1, 2], [3, 3, 3], [1, 1, 1]]],
        "positions": np.array([-2, 1, 9]),
        "quality": np.full((3, 3), 9.0),
    }
    assert lay_in_lanes(data, 2).planes["base"].tolist() == [[2 | 8, 3 | 8]]


def test_arrays_that_do_not_fit_are_refused():
    data = {"reads": np.zeros((2, 3, 4)), "positions": np.zeros(3), "quality": np.zeros((2, 3))}
    with pytest.raises(ValueError, match=r"reads \(2, 3, 4\), positions \(3,\), quality \(2, 3\)"):
        lay_in_lanes(data, 5)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_reads_do_not_depend_on_the_windows_that_they_come_from(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 2500)
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", random_reads(random, reference, 100), {"c1": 2500})
    start, stop = sorted(random.choice(2500, 2, replace=False).tolist())
    found = []
    for grid in (*GRIDS, WindowGrid(2560, 256, 1)):
        with AlignmentReader(bam) as reader:
            reads = cut_reads(pack(reader, reference, grid, (start, stop)), start, stop)
        found.append(sorted(read_bytes(reads)))
    assert found[0] == found[1] == found[2] == found[3]


def read_bytes(data):
    """All of each read, as something that can be sorted."""
    return [tuple(array[read].tobytes() for array in data.values()) for read in range(len(data["positions"]))]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_lanes_of_reads_give_back_the_reads_and_reads_of_lanes_the_lanes(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 800)
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", random_reads(random, reference, 60), {"c1": 800})
    with AlignmentReader(bam) as reader:
        (planes,) = pack(reader, reference, WindowGrid(1000, 256, 1))
    reads = cut_reads([planes], 0, 800)
    laid = lay_in_lanes(reads, 800)
    again = cut_reads([as_shard(planes, laid)], 0, 800)
    assert sorted(read_bytes(again)) == sorted(read_bytes(reads))
    twice = lay_in_lanes(again, 800)
    assert_same_planes(as_shard(planes, twice), as_shard(planes, laid))


def test_planes_of_plain_reads_come_back_cell_by_cell(shards_of):
    random = np.random.default_rng(1)
    reads = [
        Sam(int(start), cigar, name=f"r{start}", flag=16 * int(start % 2), mapping_quality=int(start % 61))
        for start, cigar in zip(
            random.integers(0, 480, 90), 18 * ["30M", "9M2D9M", "5M3I7M", "1M1D1M", "12M"], strict=True
        )
    ]
    (planes,) = shards_of(*reads, grid=WindowGrid(512, 256, 1))
    laid = lay_in_lanes(cut_reads([planes], 0, 512), 512)
    used = laid.planes["base"].shape[0]
    for found, wanted in zip(dense_planes(as_shard(planes, laid)), dense_planes(planes), strict=True):
        np.testing.assert_array_equal(found[0, :used], wanted[0, :used])
    assert np.all(planes.plane("base")[0, used:] == NO_READ)


def as_shard(planes, laid):
    """A shard of one window with what was laid, in place of its own."""
    halo, (lanes, length) = planes.grid.halo, laid.planes["base"].shape
    blocks = {}
    for name, (kind, fill) in PLANES.items():
        block = np.full((-(-lanes // 32), 1, 32, planes.grid.positions), fill, kind)
        block.reshape(-1, planes.grid.positions)[:lanes, halo : halo + length] = laid.planes[name]
        blocks[name] = block
    empty = 32 * blocks["base"].shape[0] - lanes
    reads, indels = (
        replace(table, first=np.pad(table.first, (0, empty), "edge"), column=table.column + halo)
        for table in (laid.reads, laid.indels)
    )
    return replace(planes, **blocks, reads=reads, indels=indels)


def both_pileups(shards, start, stop, config):
    """The pileup of a region from its reads, and from the lanes of its windows."""
    found = cut_reads(shards, start, stop)
    from_reads = DifferentiablePileup(config).apply(found, {}, None)[0]
    grid = shards[0].grid
    parts = []
    for planes in shards:
        for within in range(planes.shard.num_windows):
            origin = (planes.shard.first_window + within) * grid.reference_length
            low, high = max(start, origin) - origin, min(stop, origin + grid.reference_length) - origin
            if low < high:
                columns = slice(grid.halo + low, grid.halo + high)
                cells = {name: planes.plane(name)[within, :, columns] for name in ("base", "base_quality")}
                parts.append(LanePileup(config).apply(cells, {}, None)[0])
    names = "pileup", "coverage", "weighted_coverage", "mean_quality"
    return [(from_reads[name], np.concatenate([part[name] for part in parts])) for name in names]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), softmax=st.booleans())
def test_reads_and_lanes_give_the_same_pileup(tmp_path_factory, seed, softmax):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 1200)
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", random_reads(random, reference, 100), {"c1": 1200})
    start, stop = 100, 1100
    config = PileupConfig(
        reference_length=stop - start, return_coverage=True, return_quality=True, apply_softmax=softmax
    )
    with AlignmentReader(bam) as reader:
        shards = list(pack(reader, reference, WindowGrid(512, 256, 2), (start, stop)))
    for from_reads, from_lanes in both_pileups(shards, start, stop, config):
        np.testing.assert_allclose(from_reads, from_lanes, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("folder", "fasta", "contig", "start"),
    [
        ("na12878_chr20", "reference.fasta.gz", "chr20", 10_005_000),
        ("hg002_chr20", "reference.fa.gz", "20", 10_030_000),
    ],
)
def test_reads_and_lanes_give_the_same_pileup_of_a_real_region(folder, fasta, contig, start):
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    data = SHARED / folder
    stop = start + 5000
    config = PileupConfig(reference_length=5000, return_coverage=True, return_quality=True, apply_softmax=False)
    with AlignmentReader(data / "reads.bam") as reader, Reference(data / fasta) as reference:
        bases = reference.sequence(contig, 0, reference.contigs[contig])
        shards = list(pack(reader, bases, WindowGrid(1024, 256, 4), (start, stop), contig))
    found = both_pileups(shards, start, stop, config)
    assert found[1][0].mean() > 20
    for from_reads, from_lanes in found:
        np.testing.assert_allclose(from_reads, from_lanes, rtol=2e-6, atol=2e-6)
