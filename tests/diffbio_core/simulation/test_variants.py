import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.simulation.genome import random_reference
from diffbio_core.simulation.sequence import decode_bases, encode_bases
from diffbio_core.simulation.variants import (
    Variant,
    VariantModel,
    apply_variants,
    draw_variants,
    left_align,
    repeat_variability,
)


@pytest.fixture(scope="module")
def reference():
    return random_reference(400_000, np.random.default_rng(5))


@pytest.fixture(scope="module")
def variants(reference):
    return draw_variants(reference, VariantModel(), np.random.default_rng(6))


def test_ref_alleles_are_the_reference(reference, variants):
    assert all(decode_bases(reference[v.start : v.stop]) == v.ref for v in variants)


def test_variants_are_in_order_and_do_not_overlap(variants):
    assert all(low.stop <= high.start for low, high in itertools.pairwise(variants))


def test_indels_of_one_allele_are_left_aligned_and_minimal(variants):
    indels = [v for v in variants if len(v.alts) == 1 and len(v.ref) != len(v.alts[0])]
    assert len(indels) > 50
    for variant in indels:
        (alt,) = variant.alts
        assert variant.ref[0] == alt[0]
        assert min(len(variant.ref), len(alt)) == 1
        assert variant.ref[-1] != alt[-1]


def test_sites_with_two_alleles_carry_both(variants):
    sites = [v for v in variants if len(v.alts) == 2]
    assert sites
    assert all(v.genotype == (1, 2) and len(set((v.ref, *v.alts))) == 3 for v in sites)


def test_rates_are_those_of_the_model(reference, variants):
    snvs = [v for v in variants if len(v.ref) == len(v.alts[0]) == 1]
    assert len(snvs) / len(reference) == pytest.approx(1.1e-3, rel=0.15)
    transitions = [v for v in snvs if {v.ref, v.alts[0]} in ({"A", "G"}, {"C", "T"})]
    assert len(transitions) / len(snvs) == pytest.approx(2 / 3, abs=0.08)
    homozygous = [v for v in variants if v.genotype == (1, 1)]
    assert len(homozygous) / len(variants) == pytest.approx(0.36, abs=0.07)


def test_same_seed_gives_the_same_variants(reference, variants):
    assert draw_variants(reference, VariantModel(), np.random.default_rng(6)) == variants


def test_interval_bounds_the_variants(reference):
    inside = draw_variants(reference, VariantModel(), np.random.default_rng(7), (50_000, 90_000))
    assert inside[0].start >= 50_000
    assert inside[-1].stop <= 90_000


def test_no_variant_touches_an_unknown_base():
    codes = random_reference(50_000, np.random.default_rng(8))
    codes[10_000:30_000] = 4
    drawn = draw_variants(codes, VariantModel().scaled(5), np.random.default_rng(9))
    assert drawn
    assert not any("N" in v.ref or any("N" in alt for alt in v.alts) for v in drawn)


def test_haplotypes_spell_their_alleles():
    reference = encode_bases("ACGTACGT")
    variants = [Variant(1, "C", ("T",), (0, 1)), Variant(3, "TA", ("T",), (1, 1)), Variant(5, "C", ("CGG",), (1, 0))]
    assert decode_bases(apply_variants(reference, variants, 0)) == "ACGTCGGGT"
    assert decode_bases(apply_variants(reference, variants, 1)) == "ATGTCGT"


def test_haplotype_of_an_interval_starts_and_ends_there():
    reference = encode_bases("ACGTACGT")
    assert decode_bases(apply_variants(reference, [Variant(3, "T", ("A",), (1, 1))], 0, (2, 6))) == "GAAC"


def test_overlapping_variants_cannot_be_applied():
    variants = [Variant(1, "CGT", ("C",), (1, 1)), Variant(2, "G", ("A",), (1, 1))]
    with pytest.raises(ValueError, match="the variant at 2 overlaps one before it, which ends at 4"):
        apply_variants(encode_bases("ACGTACGT"), variants, 0)


def test_deletion_in_a_repeat_is_moved_to_its_start():
    assert left_align(encode_bases("GCACACAT"), 5, 2, "") == (0, "GCA", "G")


def test_insertion_in_a_homopolymer_is_moved_to_its_start():
    assert left_align(encode_bases("GCAAAAT"), 5, 0, "A") == (1, "C", "CA")


@given(
    st.text(alphabet="ACGT", min_size=8, max_size=30),
    st.text(alphabet="ACGT", min_size=1, max_size=5),
    st.integers(2, 6),
)
def test_left_aligned_insertion_spells_the_same_sequence(text, inserted, at):
    start, ref, alt = left_align(encode_bases(text), at, 0, inserted)
    assert text[:start] + alt + text[start + len(ref) :] == text[:at] + inserted + text[at:]
    assert alt[-1] != ref[-1] or start == 0


@given(st.text(alphabet="AC", min_size=10, max_size=30), st.integers(1, 5), st.integers(2, 5))
def test_left_aligned_deletion_spells_the_same_sequence(text, deleted, at):
    start, ref, alt = left_align(encode_bases(text), at, deleted, "")
    assert text[:start] + alt + text[start + len(ref) :] == text[:at] + text[at + deleted :]


def test_longer_repeats_vary_more_often():
    odds = repeat_variability(np.array([6, 10, 15, 25]), np.ones(4, int))
    assert np.all(np.diff(odds) > 0)
    assert odds[0] < 1e-3 < 0.1 < odds[2]


def test_scaled_model_multiplies_rates_only():
    scaled = VariantModel().scaled(2.0)
    assert scaled.snv_rate == pytest.approx(2.2e-3)
    assert scaled == dataclasses.replace(VariantModel(), snv_rate=2.2e-3, indel_rate=2.4e-4, repeat_scale=2.0)


@pytest.mark.parametrize(
    ("field", "value"), [("snv_rate", -1.0), ("homozygous", 1.5), ("transitions", -0.1), ("longest_indel", 0)]
)
def test_impossible_rates_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        VariantModel(**{field: value})
