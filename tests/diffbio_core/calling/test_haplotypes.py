"""Which haplotypes overlapping alleles make, and what of them reads show."""

import numpy as np
import pytest

from diffbio_core.calling.genotyping import AlleleEvidence, genotype_sites
from diffbio_core.calling.haplotypes import Allele, spell
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, pack, write_bam

REFERENCE = "".join(np.random.default_rng(7).choice(list("ACGT"), 200)) + "GATCCTAG" + "ACGTTGCA" * 38
MAYBE_HOM = np.log([0.001, 0.3, 0.699])
MAYBE_HET = np.log([0.4, 0.5, 0.1])
HET, HOM = np.log([0.001, 0.998, 0.001]), np.log([0.0001, 0.0019, 0.998])


@pytest.fixture
def call(tmp_path):
    """Sites from haplotypes (CIGAR and bases from position 180 on), eight reads of each, and logarithms."""

    def make(*haplotypes, logs, copies=8):
        reads = [
            Sam(180, cigar, bases, name=f"{number}.{copy}")
            for number, (cigar, bases) in enumerate(haplotypes)
            for copy in range(copies)
        ]
        with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": len(REFERENCE)})) as reader:
            (planes,) = pack(reader, REFERENCE, WindowGrid(512, 256, 1))
        number = len(planes.candidates)
        counts = np.full(number, 8, np.int32)
        evidence = AlleleEvidence(np.array(logs), counts, counts, 2 * counts, 2 * counts)
        return genotype_sites(planes, evidence, min_qual=1, pass_qual=0, pass_gq=0)

    return make


def bases(at, change):
    """Bases from 180 on, with others in place of the reference's from a position on."""
    old, new = change
    assert REFERENCE[at : at + len(old)] == old
    return REFERENCE[180:at] + new + REFERENCE[at + len(old) : 240]


PLAIN = "60M", REFERENCE[180:240]
BOTH = "21M2I39M", bases(200, ("G", "CTT"))
CHANGED = "60M", bases(200, ("G", "C"))
INSERTED = "21M2I39M", bases(200, ("G", "GTT"))


def test_a_change_and_an_insertion_on_one_haplotype_are_one_allele(call):
    (site,) = call(PLAIN, BOTH, logs=[HET, HET])
    assert (site.position, site.ref, site.alts, site.genotype) == (200, "G", ("CTT",), (0, 1))
    assert (site.allele_depths, site.pl[1]) == ((8, 8), 0)


def test_on_two_haplotypes_they_are_two(call):
    (site,) = call(CHANGED, INSERTED, logs=[HET, HET])
    assert (site.alts, site.genotype, site.pl[4]) == (("C", "GTT"), (1, 2), 0)


def test_on_both_haplotypes_they_are_homozygous(call):
    (site,) = call(BOTH, BOTH, logs=[HOM, HOM])
    assert (site.alts, site.genotype, site.pl[2]) == (("CTT",), (1, 1), 0)


@pytest.mark.parametrize("logs", [[HET, HOM], [HOM, HET]])
def test_a_haplotype_that_no_read_shows_is_not_there_though_one_copy_seems_likelier_than_two(call, logs):
    doubtful = [np.log([0.001, 0.799, 0.2]) if each is HET else each for each in logs]
    (site,) = call(BOTH, BOTH, logs=doubtful)
    assert (site.alts, site.genotype) == (("CTT",), (1, 1))


def test_one_haplotype_may_carry_both_and_the_other_one(call):
    (site,) = call(BOTH, CHANGED, logs=[HOM, HET])
    assert (site.alts, site.genotype, site.pl[4]) == (("C", "CTT"), (1, 2), 0)


@pytest.mark.parametrize("logs", [[HET, MAYBE_HOM], [MAYBE_HOM, HET]])
def test_no_haplotype_carries_what_no_read_shows_together_however_many_copies_seem_likely(call, logs):
    (site,) = call(CHANGED, INSERTED, logs=logs)
    assert (site.alts, site.genotype) == (("C", "GTT"), (1, 2))


def test_a_deletion_with_an_insertion_right_behind_it_is_one_allele(call):
    (site,) = call(PLAIN, ("21M3D2I36M", bases(200, ("GATC", "GTT"))), logs=[HET, HET])
    assert (site.position, site.ref, site.alts, site.genotype) == (201, "ATC", ("TT",), (0, 1))


DELETED = "21M3D36M", bases(200, ("GATC", "G"))
UNSURE = np.log([0.97, 0.02, 0.01])


def test_a_change_under_a_deletion_of_the_other_haplotype_is_found_though_the_classifier_hardly_sees_it(call):
    (site,) = call(DELETED, ("60M", bases(202, ("T", "A"))), logs=[HET, UNSURE])
    assert (site.position, site.ref, site.alts, site.genotype) == (200, "GATC", ("G", "GAAC"), (1, 2))
    assert site.gq > 10


def test_many_reads_of_two_alleles_are_no_homozygous_one(call):
    shorter, longer = ("21M3D36M", bases(200, ("GATC", "G"))), ("21M5D34M", bases(200, ("GATCCT", "G")))
    (site,) = call(shorter, longer, longer, logs=[MAYBE_HOM, HET], copies=70)
    assert (site.alts, site.genotype) == (("G", "GCT"), (1, 2))


@pytest.mark.parametrize("number", [9, 14, 40])
def test_no_change_under_a_deletion_is_lost_however_many_there_are(tmp_path, number):
    span = 3 * number
    reference = REFERENCE[:200] + "".join(np.random.default_rng(1).choice(list("ACGT"), 800))
    changed = list(reference)
    places = range(203, 203 + span, 3)
    for place in places:
        changed[place] = {"A": "C", "C": "G", "G": "T", "T": "A"}[changed[place]]
    shown = {"d": (f"51M{span + 4}D49M", reference[150:201] + reference[205 + span : 254 + span])}
    shown |= {"c": (f"{100 + span}M", "".join(changed[150 : 250 + span]))}
    reads = [
        Sam(150, cigar, bases, name=f"{name}{copy}") for name, (cigar, bases) in shown.items() for copy in range(8)
    ]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)})) as reader:
        (planes,) = pack(reader, reference, WindowGrid(1024, 256, 1))
    counts = np.full(len(planes.candidates), 8, np.int32)
    evidence = AlleleEvidence(np.tile(HET, (counts.size, 1)), counts, counts, 2 * counts, 2 * counts)
    deletion, *changes = genotype_sites(planes, evidence, min_qual=1, pass_qual=0, pass_gq=0)
    # As far left as it goes.
    assert 195 <= deletion.position <= 200
    assert (len(deletion.ref), deletion.genotype) == (span + 5, (0, 1))
    assert [site.position for site in changes] == list(places)
    assert {(site.alts[1], site.genotype) for site in changes} == {("*", (1, 2))}


def test_a_deletion_and_an_insertion_that_undo_each_other_are_no_allele(call):
    shorter = "21M3D36M", bases(200, ("GATC", "G"))
    back = "21M3D3I36M", bases(200, ("GATC", "GATC"))
    sites = call(shorter, PLAIN, back, logs=[MAYBE_HET, MAYBE_HET])
    assert all(site.ref not in site.alts for site in sites)


def test_an_insertion_at_the_last_base_that_the_other_haplotype_lacks_is_found(call):
    (site,) = call(DELETED, ("24M2I36M", bases(203, ("C", "CAA"))), logs=[HET, UNSURE])
    assert (site.position, site.ref, site.alts, site.genotype) == (200, "GATC", ("G", "GATCAA"), (1, 2))


def test_a_change_and_a_long_insertion_of_one_haplotype_are_found_though_half_its_reads_end_at_the_insertion(call):
    inserted = bases(200, ("G", "CTTGACCA"))
    ends = "21M", inserted[:21]
    (site,) = call(PLAIN, PLAIN, ("21M7I39M", inserted), ends, logs=[MAYBE_HET, HET])
    assert (site.position, site.ref, site.alts, site.genotype) == (200, "G", ("CTTGACCA",), (0, 1))


def test_a_change_near_an_indel_that_reads_show_only_together_is_weighed_with_it(call):
    both = "21M2I39M", bases(200, ("GATCCT", "GTTATCCA"))
    insertion, change = call(PLAIN, both, logs=[HET, UNSURE])
    assert (insertion.position, insertion.genotype, change.position, change.genotype) == (200, (0, 1), 205, (0, 1))


@pytest.mark.parametrize(
    ("alleles", "expected"),
    [
        ([Allele(0, 10, 0, "T")], "TCGTA"),
        ([Allele(0, 10, 2, "GG")], "AGGCGTA"),
        ([Allele(0, 10, -2, "")], "ATA"),
        ([Allele(0, 10, 0, "T"), Allele(1, 10, 2, "GG"), Allele(2, 10, -2, "")], "TGGTA"),
        ([Allele(0, 10, -2, ""), Allele(1, 12, 1, "C"), Allele(2, 14, 0, "G")], "ACTG"),
    ],
)
def test_a_haplotype_is_spelt_from_its_alleles(alleles, expected):
    assert spell(alleles, "ACGTA", 10) == expected


def test_a_longer_repeat_and_the_change_behind_it_are_found_once_though_reads_spell_them_in_two_ways(tmp_path):
    reference = REFERENCE[:200] + "CA" * 12 + "CTGACCTGATGG" + REFERENCE[236:]
    shown = reference[180:200] + "CA" * 16 + "G" + reference[225:265]
    # The last inserted base instead of the changed one.
    reads = [Sam(180, cigar, shown, name=f"{cigar}{copy}") for cigar in ("20M8I65M", "45M8I40M") for copy in range(8)]
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)})) as reader:
        (planes,) = pack(reader, reference, WindowGrid(512, 256, 1))
    counts = np.full(3, 8, np.int32)
    evidence = AlleleEvidence(np.array([MAYBE_HET, MAYBE_HET, MAYBE_HET]), counts, counts, 2 * counts, 2 * counts)
    (site,) = genotype_sites(planes, evidence, min_qual=1, pass_qual=0, pass_gq=0)
    assert (site.position, site.ref, site.alts, site.genotype) == (224, "C", ("CACACACAG",), (1, 1))
