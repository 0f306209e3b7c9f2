"""One shard worked off in this process."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffbio_core.models import default_model_path, load_card, model_identity
from diffbio_core.windows.encoding import PLANES
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_flows.shards.commit import load_shard, shard_path
from diffbio_flows.shards.message import ShardTask
from diffbio_flows.shards.process import PASS_QUAL, ingest_shard, process_shard
from diffbio_io.reference import Reference
from diffbio_io.store.store import WindowStore

GRID = WindowGrid(4096, 256, 64)
INTERVALS = ((2_000, 9_000), (15_000, 24_000))


@pytest.fixture(scope="module")
def task(individual, tmp_path_factory):
    """Two intervals of the first contig, with windows and gVCF."""
    folder = tmp_path_factory.mktemp("shard")
    (folder / "calls").mkdir()
    with Reference(individual.reference, folder) as reference:
        contig, length = next(iter(reference.contigs.items()))
    store = WindowStore(folder / "windows.zarr", GRID)
    store.create_contigs({contig: length})
    return ShardTask(
        shard=Shard(contig, 0, 0, 6), grid=GRID, intervals=INTERVALS,
        reads=str(individual.reads), reference=str(individual.reference), sample="S", work=str(folder),
        model=str(default_model_path()), calls=str(folder / "calls"), store=store.url, gvcf=True,
        model_identity=model_identity(load_card(default_model_path())),
    )  # fmt: skip


@pytest.fixture(scope="module")
def result(task):
    return process_shard(task)


def records(task, ending=".vcf.gz"):
    content = shard_path(task.calls, task.name, ending).read_bytes()
    text = gzip.decompress(content) if ending.endswith(".gz") else content
    return [line.split("\t") for line in text.decode().splitlines()]


def test_only_sites_asked_for_are_written_in_order(task, result):
    positions = [int(record[1]) - 1 for record in records(task)]
    assert len(positions) > 5
    assert positions == sorted(positions)
    assert all(any(start <= at < stop for start, stop in INTERVALS) for at in positions)


def test_sites_of_low_quality_are_filtered(task, result):
    for record in records(task):
        assert ("LowQual" in record[6]) == (float(record[5]) < PASS_QUAL)


def test_the_result_tells_what_was_done_and_is_found_again(task, result):
    assert result.core_bp == 16_000
    assert result.counters["windows"] == 6
    assert result.counters["reads_used"] > 1000
    assert list(result.seconds) == ["ingest", "store", "call", "genotype", "gvcf"]
    assert set(result.files) == {".vcf.gz", ".g.vcf"}
    assert load_shard(task.calls, task.name) == result


def test_the_store_holds_the_planes_that_were_called(task, result):
    stored, planes = WindowStore(task.store).read(task.shard), ingest_shard(task)
    for name in PLANES:
        np.testing.assert_array_equal(getattr(stored, name), getattr(planes, name))
    assert len(stored.candidates) == result.counters["candidates"] == len(planes.candidates)


def test_the_gvcf_covers_every_position_asked_for(task, result):
    covered = []
    for record in records(task, ".g.vcf"):
        start = int(record[1]) - 1
        end = [int(part[4:]) for part in record[7].split(";") if part.startswith("END=")]
        covered += range(start, end[0] if end else start + len(record[3]))
    asked = {at for start, stop in INTERVALS for at in range(start, stop)}
    assert asked <= set(covered)


def test_without_store_and_gvcf_the_calls_are_the_same(task, result, tmp_path):
    plain = replace(task, calls=str(tmp_path), store=None, gvcf=False)
    done = process_shard(plain)
    assert done.files == {".vcf.gz": result.files[".vcf.gz"]}
    assert list(done.seconds) == ["ingest", "call", "genotype"]


def test_a_contig_of_the_reference_alone_has_no_reads(task, tmp_path):
    fasta = tmp_path / "r.fa"
    fasta.write_text(">other\n" + "ACGT" * 300 + "\n")
    planes = ingest_shard(replace(task, reference=str(fasta), shard=Shard("other", 0, 0, 1), work=str(tmp_path)))
    assert planes.num_lanes == 0
    assert sum(planes.read_counts.values()) == 0
    assert planes.reference[0, 256:260].tolist() == [0, 1, 2, 3]


def test_parts_with_one_copy_have_genotypes_of_one_allele(task, result):
    haploid = ((2_000, 5_000), (20_000, 24_000))
    mixed = replace(task, haploid=haploid, store=None, calls=f"{task.calls}-mixed")
    Path(mixed.calls).mkdir()
    process_shard(mixed)

    def copies(record):
        return 1 if any(start <= int(record[1]) - 1 < stop for start, stop in haploid) else 2

    for ending in (".vcf.gz", ".g.vcf"):
        found = records(mixed, ending)
        assert {copies(record) for record in found} == {1, 2}
        assert all(len(record[9].split(":")[0].split("/")) == copies(record) for record in found)
        positions = [int(record[1]) for record in found]
        assert positions == sorted(positions)
    # Where there are two copies, nothing has changed.
    assert [r for r in records(mixed) if copies(r) == 2] == [r for r in records(task) if copies(r) == 2]


def test_the_result_tells_the_depth_of_what_was_asked_for(task, result):
    assert sum(result.depths) == 16_000
    mean = sum(depth * number for depth, number in enumerate(result.depths)) / 16_000
    assert 10 < mean < 20
