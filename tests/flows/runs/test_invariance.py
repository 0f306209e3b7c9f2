"""What must not show in the output: workers, the kind of alignment file, windows, and how the genome is cut."""

from itertools import pairwise

import pysam
import pysam.bcftools
import pytest

from diffbio_core.calling.reference_confidence import BANDS
from diffbio_flows import call_variants
from diffbio_io.reference import Reference
from diffbio_io.simulation.dataset import simulate_dataset
from diffbio_io.variants.gvcf import without_seams

pytestmark = pytest.mark.slow

LENGTH = 300_000
CUT = 140_123


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A contig of two shards."""
    return simulate_dataset(tmp_path_factory.mktemp("data"), length=LENGTH, depth=25, seed=11)


@pytest.fixture(scope="module")
def called(data, tmp_path_factory, diffbio):
    """Calls with some options changed; gives the VCF and the gVCF."""

    def call(*more, reads=data.reads, workers=1):
        folder = tmp_path_factory.mktemp("calls")
        outputs = folder / "calls.vcf.gz", folder / "calls.g.vcf.gz"
        files = ("--reads", reads, "--reference", data.reference, "--output", outputs[0], "--gvcf", outputs[1])
        done = diffbio("call", *files, "--workers", workers, "--keep-windows", "no", *more)
        assert done.returncode == 0, done.stderr
        return outputs

    return call


@pytest.fixture(scope="module")
def whole(called):
    """The run that all others are compared with."""
    return called()


def contents(paths):
    return [path.read_bytes() for path in paths]


def without_reads(path):
    """Header and records but for the line that tells which file the reads are in."""
    with pysam.BGZFile(str(path)) as file:
        return [line for line in file.read().decode().splitlines() if not line.startswith("##diffbio=<ID=reads,")]


def lines(path):
    with pysam.BGZFile(str(path)) as file:
        return [line for line in file.read().decode().splitlines(keepends=True) if not line.startswith("#")]


def test_one_and_two_workers_write_the_same_bytes(called, whole):
    assert contents(called(workers=2)) == contents(whole)


def test_windows_of_2048_and_4096_write_the_same_bytes(called, whole):
    assert contents(called("--window-length", 2048)) == contents(whole)


def test_cram_and_bam_give_the_same_lines_but_for_the_name_of_the_reads(called, whole, data, tmp_path):
    cram = tmp_path / "reads.cram"
    options = ("--cram", "--reference", str(data.reference), "--output", str(cram), "--write-index")
    pysam.view(*options, str(data.reads), catch_stdout=False)
    assert list(map(without_reads, called(reads=cram))) == list(map(without_reads, whole))


def test_region_by_region_gives_what_the_whole_gives(called, whole, data):
    parts = [called("--region", f"chr1:{span}") for span in (f"1-{CUT}", f"{CUT + 1}-{LENGTH}")]
    assert [line for vcf, _ in parts for line in lines(vcf)] == lines(whole[0])
    # Blocks end where a region does; joined there, they are the whole's.
    with Reference(data.reference) as reference:
        joined = without_seams(
            ("".join(lines(gvcf)).encode() for _, gvcf in parts),
            lambda contig, position: reference.sequence(contig, position, position + 1),
        )
        assert b"".join(joined).decode() == "".join(lines(whole[1]))


def test_the_gvcf_holds_the_records_and_covers_every_position_once(whole):
    variants, reach = [], 0
    with pysam.VariantFile(str(whole[1])) as file:
        for record in file:
            assert record.alts[-1] == "<*>"
            if len(record.alts) > 1:
                variants.append((record.start, record.ref, record.alts[:-1], record.samples[0]["GT"]))
                # Sites may lie within a deletion; blocks never.
                assert record.start <= reach
            else:
                assert record.start == reach
            reach = max(reach, record.stop)
    assert reach == LENGTH
    with pysam.VariantFile(str(whole[0])) as file:
        assert variants == [(record.start, record.ref, record.alts, record.samples[0]["GT"]) for record in file]
    assert len(variants) > 200


def test_neighbouring_blocks_are_of_different_bands(whole):
    fields = [line.split("\t") for line in lines(whole[1])]
    bands = [band(*line[9].split(":")[:2]) if line[4] == "<*>" else None for line in fields]
    assert all(before is None or before != after for before, after in pairwise(bands))


def band(genotype, gq):
    return genotype, sum(int(gq) >= bound for bound in BANDS)


def test_bcftools_writes_the_gvcf_out_position_by_position(whole, data):
    text = pysam.bcftools.convert("--gvcf2vcf", "--fasta-ref", str(data.reference), str(whole[1]))
    positions = [int(line.split("\t", 2)[1]) for line in text.splitlines() if not line.startswith("#")]
    within_alleles = LENGTH - len(set(positions))
    assert positions == sorted(positions)
    assert 0 < within_alleles < 1_000


def test_the_confidence_is_high_nearly_everywhere_but_on_variants(whole, data):
    with pysam.VariantFile(str(data.truth)) as file:
        snvs = [record.start for record in file if set(map(len, record.alleles)) == {1}]
    confidence = [99] * LENGTH
    with pysam.VariantFile(str(whole[1])) as file:
        for record in file:
            sure = record.samples[0]["GQ"] if len(record.alts) == 1 else 0
            confidence[record.start : record.stop] = [sure] * (record.stop - record.start)
    assert sum(gq >= 20 for gq in confidence) > 0.95 * LENGTH
    assert sum(confidence[position] >= 20 for position in snvs) <= 0.02 * len(snvs)
    assert len(snvs) > 200


def test_a_haploid_contig_has_haploid_blocks_and_sites(individual, tmp_path):
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    outputs = {"output": tmp_path / "calls.vcf.gz", "gvcf": tmp_path / "calls.g.vcf.gz"}
    files = {"reads": individual.reads, "reference": individual.reference, **outputs, "cluster": cluster}
    call_variants(**files, region=("chr1:1-9000", "chr2:1-9000"), haploid_contigs=("chr1",), keep_windows=False)
    with pysam.VariantFile(str(outputs["gvcf"])) as file:
        shapes = {
            (record.contig, len(record.samples[0]["GT"]), len(record.samples[0]["PL"]) - len(record.alts))
            for record in file
            if len(record.alts) == 1
        }
    assert shapes == {("chr1", 1, 1), ("chr2", 2, 2)}
