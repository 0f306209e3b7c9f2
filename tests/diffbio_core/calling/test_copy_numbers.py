"""Copies of a human's contigs by sex."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.calling.copy_numbers import CopyNumbers, HumanBuild, common, outside

GRCH37 = {"1": 249_250_621, "X": 155_270_560, "Y": 59_373_566, "MT": 16_569}
GRCH38 = {"chr1": 248_956_422, "chrX": 156_040_895, "chrY": 57_227_415, "chrM": 16_569}


@pytest.mark.parametrize(("contigs", "name", "x"), [(GRCH37, "GRCh37", "X"), (GRCH38, "GRCh38", "chrX")])
def test_a_build_is_told_by_the_lengths_of_its_sex_chromosomes(contigs, name, x):
    build = HumanBuild.of(contigs)
    assert build is not None
    assert (build.name, build.x, build.autosomes) == (name, x, (next(iter(contigs)),))
    assert build.mitochondria in contigs
    assert HumanBuild.of({**contigs, x: 1_000}) is None


def test_hg19_has_mitochondria_of_its_own_length():
    build = HumanBuild.of({"chrX": 155_270_560, "chrM": 16_571})
    assert build is not None
    assert (build.y, build.mitochondria) == (None, "chrM")


def copies(sex, contigs=GRCH38, **more):
    return CopyNumbers.of(contigs, HumanBuild.of(contigs), sex, **more)


def test_a_male_has_one_x_and_y_between_their_pseudo_autosomal_regions():
    found = copies("male")
    # From the last base of a region to the next, 1-based 2,781,480 to 155,701,382 on X.
    assert found.haploid["chrX"] == ((0, 10_000), (2_781_479, 155_701_382), (156_030_895, 156_040_895))
    assert found.haploid_parts("chrX", [(2_781_000, 2_782_000)]) == ((2_781_479, 2_782_000),)
    assert found.haploid_parts("chrX", [(100_000, 200_000)]) == ()
    assert found.haploid_parts("chrY", [(20_000_000, 20_000_100)]) == ((20_000_000, 20_000_100),)
    assert found.absent == ()


def test_a_female_has_two_x_and_no_y():
    found = copies("female")
    assert found.absent == ("chrY",)
    assert set(found.haploid) == {"chrM"}
    assert copies("female", haploid_contigs=["chrY"]).absent == ()


def test_without_a_sex_only_named_contigs_are_haploid():
    assert copies(None).haploid == {}
    assert copies(None, haploid_contigs=["chr1"]).haploid == {"chr1": ((0, 248_956_422),)}
    assert set(copies("unknown").haploid) == {"chrM"}


spans = st.lists(st.integers(0, 60), max_size=8, unique=True).map(
    lambda ends: tuple(zip(*[iter(sorted(ends))] * 2, strict=False))
)


def positions(found):
    return [place for start, stop in found for place in range(start, stop)]


@given(spans, spans)
def test_every_position_is_either_within_or_outside(asked, removed):
    within, rest = common(asked, removed), outside(removed, *asked)
    assert set(positions(within)) == set(positions(asked)) & set(positions(removed))
    assert sorted(positions(within) + positions(rest)) == positions(asked)
