import collections
import subprocess
import sys
import time

import numpy as np
import pysam
import pytest

from diffbio_core.problems import InputError
from diffbio_core.simulation.sequence import encode_bases
from diffbio_core.simulation.sequencing import SequencingModel
from diffbio_core.simulation.variants import Variant
from diffbio_io.simulation.dataset import confident_intervals, simulate_dataset, write_fasta, write_truth

LENGTH = 30_000
FILES = {
    "reference.fa.gz",
    "reference.fa.gz.fai",
    "reference.fa.gz.gzi",
    "reads.bam",
    "reads.bam.bai",
    "truth.vcf.gz",
    "truth.vcf.gz.tbi",
    "confident.bed",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return simulate_dataset(tmp_path_factory.mktemp("simulated"), length=LENGTH, contigs=2, seed=3, threads=2)


def contents(dataset) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in dataset.reads.parent.iterdir()}


def test_every_file_and_its_index_is_written_and_nothing_else(dataset):
    assert set(contents(dataset)) == FILES


def test_same_seed_gives_the_same_bytes_with_any_number_of_threads(dataset, tmp_path):
    told = []
    again = simulate_dataset(
        tmp_path / "again", length=LENGTH, contigs=2, seed=3, threads=1, progress=lambda *step: told.append(step)
    )
    assert contents(again) == contents(dataset)
    steps = len(told) - 2
    assert steps >= 4  # two contigs, two haplotypes
    sequencing = [("sequencing and aligning", done, steps) for done in range(steps)]
    assert told == [("drawing variants", 0, 1), *sequencing, ("sorting reads", 0, 1)]


def test_what_a_killed_process_left_goes_with_the_next_and_two_do_not_mix(tmp_path):
    make = "from diffbio_io.simulation.dataset import simulate_dataset"
    code = f"import sys; {make}; simulate_dataset(sys.argv[1], length=2_000_000, seed=9)"
    first = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    while not (tmp_path / ".simulate" / "reference.fa.gz").exists():
        assert first.poll() is None
        time.sleep(0.01)
    with pytest.raises(InputError, match=rf"process {first.pid} on .+ is working in it"):
        simulate_dataset(tmp_path, length=LENGTH, threads=1)
    first.kill()
    first.wait()
    assert {path.name for path in tmp_path.iterdir()} == {".simulate", ".simulate.lock"}
    assert set(contents(simulate_dataset(tmp_path, length=LENGTH, threads=1))) == FILES


def test_other_seed_gives_another_individual(dataset, tmp_path):
    other = simulate_dataset(tmp_path, length=LENGTH, contigs=2, seed=4, threads=1)
    assert other.truth.read_bytes() != dataset.truth.read_bytes()
    assert other.reference.read_bytes() != dataset.reference.read_bytes()


def test_reads_cover_every_contig_to_the_depth(dataset):
    with pysam.AlignmentFile(str(dataset.reads)) as bam:
        assert bam.references == ("chr1", "chr2")
        for contig in bam.references:
            used = [read for read in bam.fetch(contig) if not read.is_duplicate and not read.is_unmapped]
            assert sum(read.query_length for read in used) / LENGTH == pytest.approx(30.0, rel=0.15)


def test_reads_are_sorted_paired_and_of_the_sample(dataset):
    with pysam.AlignmentFile(str(dataset.reads)) as bam:
        assert bam.header["HD"]["SO"] == "coordinate"
        assert bam.header["RG"][0]["SM"] == "simulated"
        starts, names, duplicates = [], collections.Counter(), 0
        for read in bam.fetch("chr1"):
            starts.append(read.reference_start)
            names[read.query_name] += 1
            duplicates += read.is_duplicate
    assert starts == sorted(starts)
    assert max(names.values()) == 2
    assert duplicates > 0


def test_truth_is_phased_on_the_reference_and_of_the_sample(dataset):
    with pysam.VariantFile(str(dataset.truth)) as vcf, pysam.FastaFile(str(dataset.reference)) as fasta:
        assert list(vcf.header.samples) == ["simulated"]
        assert {name: contig.length for name, contig in vcf.header.contigs.items()} == dict.fromkeys(
            ("chr1", "chr2"), LENGTH
        )
        records = list(vcf.fetch("chr1", 0, LENGTH))
        assert len(records) > 15
        for record in records:
            assert record.samples[0].phased
            assert fasta.fetch("chr1", record.start, record.stop) == record.ref


def test_reads_carry_the_homozygous_snvs(dataset):
    carried = []
    with pysam.VariantFile(str(dataset.truth)) as vcf, pysam.AlignmentFile(str(dataset.reads)) as bam:
        for record in vcf:
            if record.samples[0]["GT"] != (1, 1) or len(record.ref) != 1 or len(record.alts[0]) != 1:
                continue
            counts = bam.count_coverage(record.chrom, record.start, record.stop, quality_threshold=20)
            seen = {base: count[0] for base, count in zip("ACGT", counts, strict=True)}
            if sum(seen.values()) >= 8:
                carried.append(seen[record.alts[0]] / sum(seen.values()))
    assert len(carried) >= 5
    assert np.median(carried) > 0.95


def test_confident_regions_leave_out_the_ends(dataset):
    assert dataset.confident.read_text() == f"chr1\t1000\t{LENGTH - 1000}\nchr2\t1000\t{LENGTH - 1000}\n"


def test_regions_of_a_reference_are_simulated_alone(dataset, tmp_path):
    part = simulate_dataset(tmp_path, reference=dataset.reference, regions=["chr2:5,001-15,000"], seed=5, threads=1)
    with pysam.AlignmentFile(str(part.reads)) as bam:
        assert bam.references == ("chr2",)
        # Reads of the region may map to a copy of its sequence elsewhere, but nearly all lie inside.
        starts = np.array([read.reference_start for read in bam.fetch() if read.mapping_quality >= 50])
    assert np.mean((starts >= 5_000) & (starts < 15_000)) > 0.98
    with pysam.VariantFile(str(part.truth)) as vcf:
        assert all(5_000 <= record.start < 15_000 for record in vcf)
    assert part.confident.read_text() == "chr2\t6000\t14000\n"


def test_collapsed_copies_pile_up_on_their_original(tmp_path):
    plain = SequencingModel(collapsed_copies=0.0, diverged_copies=0.0, duplicates=0.0)
    piled = SequencingModel(collapsed_copies=300.0, diverged_copies=0.0, duplicates=0.0)
    counts = []
    for name, model in (("plain", plain), ("piled", piled)):
        dataset = simulate_dataset(tmp_path / name, length=20_000, seed=6, sequencing=model, threads=1)
        with pysam.AlignmentFile(str(dataset.reads)) as bam:
            counts.append(bam.mapped)
    assert counts[1] > 1.4 * counts[0]


def test_diverged_copies_lower_the_mapping_quality_of_their_original(tmp_path):
    low = []
    for name, rate in (("alone", 0.0), ("copied", 300.0)):
        model = SequencingModel(collapsed_copies=0.0, diverged_copies=rate)
        dataset = simulate_dataset(tmp_path / name, length=20_000, seed=7, sequencing=model, threads=1)
        with pysam.AlignmentFile(str(dataset.reads)) as bam:
            low.append(np.mean([read.mapping_quality < 50 for read in bam.fetch()]))
            assert bam.references == ("chr1",)
    assert low[1] > low[0] + 0.02


def test_missing_reference_is_reported(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        simulate_dataset(tmp_path, reference=tmp_path / "missing.fa")


def test_impossible_number_of_contigs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="contigs must be at least 1, got 0"):
        simulate_dataset(tmp_path, contigs=0)


def test_fasta_is_written_plain_and_compressed(tmp_path):
    codes = encode_bases("ACGTN" * 30)
    for name in ("plain.fa", "compressed.fa.gz"):
        write_fasta(tmp_path / name, {"chr1": codes})
        with pysam.FastaFile(str(tmp_path / name)) as fasta:
            assert fasta.fetch("chr1") == "ACGTN" * 30
    assert (tmp_path / "compressed.fa.gz.gzi").exists()


def test_truth_keeps_two_alleles_and_phase(tmp_path):
    path = tmp_path / "truth.vcf.gz"
    sites = [Variant(4, "CA", ("C", "CAA"), (2, 1)), Variant(9, "G", ("T",), (1, 0))]
    write_truth(path, {"chr1": sites}, {"chr1": 100}, sample="someone")
    with pysam.VariantFile(str(path)) as vcf:
        first, second = vcf.fetch("chr1", 0, 100)
        assert (first.start, first.ref, first.alts) == (4, "CA", ("C", "CAA"))
        assert (first.samples["someone"]["GT"], second.samples["someone"]["GT"]) == ((2, 1), (1, 0))
        assert first.samples["someone"].phased


def test_confident_intervals_stop_before_unknown_sequence():
    codes = np.zeros(40_000, np.uint8)
    codes[20_000:25_000] = 4
    found = list(confident_intervals({"chr1": codes}, {"chr1": ((0, 40_000),)}))
    assert found == [("chr1", 1_000, 19_000), ("chr1", 26_000, 39_000)]


def test_confident_intervals_leave_out_segments_with_a_hidden_copy():
    codes = np.zeros(40_000, np.uint8)
    collapsed = {"chr1": [(20_000, 23_000), (22_000, 25_000), (38_500, 41_000)]}
    found = list(confident_intervals({"chr1": codes}, {"chr1": ((0, 40_000),)}, collapsed))
    assert found == [("chr1", 1_000, 20_000), ("chr1", 25_000, 38_500)]
