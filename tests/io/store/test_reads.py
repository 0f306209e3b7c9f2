"""Reads of a region out of a window store."""

from collections import Counter

import jax
import numpy as np
import pysam
import pytest

from diffbio_core.pipelines import create_variant_calling_pipeline
from diffbio_core.windows.encoding import CODE_OF_ASCII, DELETED, N_BASE, REVERSE_STRAND
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.reference import Reference
from diffbio_io.store.store import StoreError, WindowStore
from tests.alignments import pack, pileup_cells, write_bam
from tests.random_reads import random_reads, random_reference
from tests.shared_data import SHARED

GRID = WindowGrid(512, 256, 2)
LENGTH = 5000


@pytest.fixture(scope="module")
def reference():
    return random_reference(np.random.default_rng(5), LENGTH)


@pytest.fixture(scope="module")
def store(tmp_path_factory, reference):
    """Four shards of 1,024 bp of a contig of 5,000 bp; the fifth is missing."""
    folder = tmp_path_factory.mktemp("store")
    reads = random_reads(np.random.default_rng(6), reference, 250)
    bam = write_bam(folder / "reads.bam", reads, {"c1": LENGTH})
    store = WindowStore(folder / "windows.zarr", GRID)
    store.create_contigs({"c1": LENGTH})
    with AlignmentReader(bam) as reader:
        for planes in pack(reader, reference, GRID, (0, 4000)):
            store.write(planes)
    return store


def test_a_pipeline_runs_on_a_region_as_it_comes(store):
    pipeline = create_variant_calling_pipeline(reference_length=1000)
    result, _, _ = pipeline.apply(store.reads("c1:1001-2000"), {}, None)
    assert result["probabilities"].shape == (1000, 3)
    np.testing.assert_allclose(result["pileup"].sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(result["probabilities"].sum(-1), 1, rtol=1e-5)


def test_a_pipelines_parameters_have_gradients_on_a_region(store):
    pipeline = create_variant_calling_pipeline(reference_length=200, classifier_type="cnn")
    data = store.reads("c1:1001-1200")
    gradient = jax.grad(lambda pipeline: pipeline.apply(data, {}, None)[0]["probabilities"][:, 1].sum())(pipeline)
    assert float(gradient.quality_filter.threshold[...]) != 0


def test_text_counts_from_one_and_tuples_from_zero(store):
    one, other = store.reads("c1:1001-2000"), store.reads(("c1", 1000, 2000))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_the_reference_is_that_of_the_region_over_several_shards(store, reference):
    found = store.reads(("c1", 700, 3900))["reference"]
    codes = CODE_OF_ASCII[np.frombuffer(reference[700:3900].encode(), np.uint8)]
    np.testing.assert_array_equal(found, np.eye(5, 4, dtype=np.float32)[codes])
    assert (found.sum(-1) == 0).any()


def test_reads_over_the_border_of_two_shards_come_whole(store):
    whole = store.reads(("c1", 0, 4000))
    left, right = store.reads(("c1", 0, 1024)), store.reads(("c1", 1024, 4000))
    assert whole["read_mask"].sum() == left["read_mask"].sum() + right["read_mask"].sum()
    assert len(whole["positions"]) < len(left["positions"]) + len(right["positions"])


def test_a_contig_by_its_name_is_all_of_it(store):
    with pytest.raises(StoreError, match=r"does not hold all windows of c1:1-5000; they are missing in c1\.000004"):
        store.reads("c1")


def test_windows_that_were_not_written_are_told_with_what_to_do(store):
    with pytest.raises(StoreError, match=r"missing in c1\.000004: fill it with diffbio ingest --region c1:4001-4200"):
        store.reads("c1:4001-4200")


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("c1:4901-5001", "reaches to 5,001, but c1 is 5,000 bp long"),
        ("c2:1-10", "no contig 'c2'"),
        ("c1:9-1", "ends before it starts"),
        ("c1:x", "is not a region"),
        (("c2", 0, 10), "holds no contig c2; it holds c1"),
        (("c1", 10, 10), "is empty or not inside 0 to 5000"),
        (("c1", -1, 10), "is empty or not inside 0 to 5000"),
        (("c1", 0, 5001), "is empty or not inside 0 to 5000"),
    ],
)
def test_a_region_that_is_not_in_the_store_is_refused(store, region, message):
    with pytest.raises(StoreError, match=message):
        store.reads(region)


def test_reads_of_a_real_region_hold_what_samtools_piles_up(tmp_path):
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    data = SHARED / "na12878_chr20"
    start, stop = 10_009_000, 10_010_000
    with AlignmentReader(data / "reads.bam") as reader, Reference(data / "reference.fasta.gz") as reference:
        bases = reference.sequence("chr20", 0, reference.contigs["chr20"])
        store = WindowStore(tmp_path / "windows.zarr", WindowGrid())
        store.create_contigs({"chr20": len(bases)})
        for planes in pack(reader, bases, WindowGrid(), (start, stop), "chr20"):
            store.write(planes)
    part = tmp_path / "part.bam"
    pysam.view("-b", "-o", str(part), str(data / "reads.bam"), f"chr20:{start - 500}-{stop + 500}", catch_stdout=False)
    pysam.index(str(part))
    wanted = {at - start: cells for at, cells in pileup_cells(part, "chr20").items() if start <= at < stop}
    assert sum(cells.total() for cells in wanted.values()) > 40_000
    found = store.reads(("chr20", start, stop), read_length=80)
    assert cells_of_reads(found) == wanted


def cells_of_reads(data):
    """Cells by column, as tests.alignments.pileup_cells has them."""
    cells = {}
    for read, place in zip(*np.nonzero(data["read_mask"]), strict=True):
        base = data["reads"][read, place]
        code = DELETED if not base.any() else N_BASE if base.max() < 1 else int(base.argmax())
        cell = (
            code | REVERSE_STRAND * int(data["strand"][read]),
            int(data["quality"][read, place]),
            int(data["mapping_quality"][read]),
            int(data["indel"][read, place]),
        )
        cells.setdefault(int(data["positions"][read] + place), Counter())[cell] += 1
    return cells
