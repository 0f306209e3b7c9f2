"""Calling from a window store gives what calling from the reads gives."""

from pathlib import Path

import pysam
import pytest

from diffbio_core.problems import InputError
from diffbio_flows import call_variants, ingest_reads
from diffbio_io.store.store import WindowStore
from tests.s3_server import s3_server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "cluster.toml"
    path.write_text('kind = "in-process"\n')
    return path


@pytest.fixture(scope="module")
def call(tmp_path_factory, cluster):
    """Calls from some source; gives VCF and gVCF, and the work directory."""

    def run(**source):
        folder = tmp_path_factory.mktemp("calls")
        outputs = {"output": folder / "c.vcf.gz", "gvcf": folder / "c.g.vcf.gz"}
        call_variants(**source, **outputs, haploid_contigs=("chr2",), cluster=cluster)
        return [path.read_bytes() for path in outputs.values()], folder / "c.vcf.gz.work"

    return run


@pytest.fixture(scope="module")
def from_reads(call, individual):
    return call(reads=individual.reads, reference=individual.reference)


def test_the_store_that_a_call_keeps_gives_the_bytes_of_that_call(call, from_reads):
    wanted, work = from_reads
    assert call(windows=str(work / "windows.zarr"))[0] == wanted


def test_a_region_from_a_store_that_was_ingested_from_cram_gives_the_bytes_of_the_region(
    call, individual, cluster, tmp_path
):
    cram, store = tmp_path / "reads.cram", str(tmp_path / "w.zarr")
    options = ("--cram", "--reference", str(individual.reference), "--output", str(cram), "--write-index")
    pysam.view(*options, str(individual.reads), catch_stdout=False)
    files = {"reads": cram, "reference": individual.reference}
    ingest_reads(**files, store=store, cluster=cluster)
    region = ("chr1:9001-21000", "chr2")
    assert call(windows=store, region=region)[0] == call(**files, region=region)[0]


def test_all_that_is_missing_or_damaged_is_told_before_anything_is_written(individual, cluster, tmp_path):
    store = tmp_path / "w.zarr"
    files = {"reads": individual.reads, "reference": individual.reference}
    ingest_reads(**files, store=str(store), cluster=cluster, region=("chr1", "chr3", "chr4:1-8000"))
    store.joinpath("chr1/base/c/0/0/0").unlink()
    reads = store / "chr3/shards/000000/reads/c/0/0"
    reads.write_bytes(b"\0" + reads.read_bytes()[1:])
    fields = {"windows": str(store), "output": tmp_path / "c.vcf.gz", "cluster": cluster}
    with pytest.raises(InputError) as told:
        call_variants(**fields, region=("chr1", "chr2", "chr3", "chr4"), sample="other", haploid_contigs=("chr9",))
    text = str(told.value)
    assert "shard chr1.000000: chunk chr1/base/c/0/0/0 is missing" in text
    assert "chunk chr3/shards/000000/reads/c/0/0 does not match its checksum" in text
    assert "does not hold all windows asked for: chr2.000000, chr4.000000 are missing" in text
    assert "--region chr2:1-30000 --region chr4:1-30000" in text
    assert "the windows are of 'simulated', not 'other'" in text
    assert "no contig 'chr9'" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.zarr", "w.zarr.log"]

    # The command that filled it makes again what is damaged; then all that it was to hold can be called.
    again = ingest_reads(**files, store=str(store), cluster=cluster, region=("chr1", "chr3", "chr4:1-8000"))
    assert again.work.resumed_shards == 1
    assert call_variants(**fields).work.totals.core_bp == 68_000


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"windows": "w.zarr", "reads": "r.bam"}, "--windows goes with neither --reads nor --reference"),
        ({"reads": "r.bam"}, "--reads and --reference are needed, or --windows"),
        ({"windows": "nowhere.zarr"}, "nowhere.zarr is not a window store: fill it with diffbio ingest"),
        ({"windows": "nowhere://w.zarr"}, "nowhere://w.zarr cannot be opened"),
    ],
)
def test_a_source_that_cannot_be_is_refused(fields, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        call_variants(**fields, output=tmp_path / "c.vcf.gz")


def test_a_resumed_call_makes_again_what_is_damaged_of_its_windows(individual, cluster, tmp_path, monkeypatch):
    fields = {"reads": individual.reads, "reference": individual.reference, "output": tmp_path / "c.vcf.gz"}
    fields |= {"region": ("chr1", "chr2"), "cluster": cluster}
    with monkeypatch.context() as patch:
        patch.setattr("diffbio_flows.runs.call.merge_calls", lambda plan: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            call_variants(**fields)
    store = Path(f"{fields['output']}.work") / "windows.zarr"
    store.joinpath("chr2/base_quality/c/0/0/0").write_bytes(b"garbage")
    assert call_variants(**fields).work.resumed_shards == 1
    held = WindowStore(store)
    assert held.faults(shard for contig in held.contigs for shard in held.shards(contig)) == {}


def test_a_store_on_s3_gives_the_same_bytes(call, from_reads, individual, cluster, monkeypatch):
    pytest.importorskip("s3fs", reason="needs the extra test: s3fs and moto")
    with s3_server(monkeypatch) as server:
        ingest_reads(reads=individual.reads, reference=individual.reference, store=server.url, cluster=cluster)
        assert call(windows=server.url)[0] == from_reads[0]
