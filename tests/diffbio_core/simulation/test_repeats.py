import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.simulation.repeats import SHORTEST_TRACT, find_tracts
from diffbio_core.simulation.sequence import encode_bases


def test_homopolymer_is_found_with_its_bounds():
    assert find_tracts(encode_bases("GCAAAAAAGC")).tolist() == [[2, 8, 1]]


def test_homopolymer_shorter_than_five_is_no_tract():
    assert find_tracts(encode_bases("GCAAAAGC")).tolist() == []


def test_dinucleotide_repeat_counts_a_partial_unit():
    assert find_tracts(encode_bases("TTGACACACACAGG")).tolist() == [[3, 12, 2]]


def test_homopolymer_is_no_repeat_of_a_longer_unit():
    assert find_tracts(encode_bases("G" + "A" * 20 + "C")).tolist() == [[1, 21, 1]]


def test_dinucleotide_repeat_is_no_repeat_of_four():
    assert find_tracts(encode_bases("G" + "AC" * 10 + "T")).tolist() == [[1, 21, 2]]


def test_unknown_bases_are_no_repeat():
    assert find_tracts(encode_bases("ACGT" + "N" * 30)).tolist() == []


@given(st.text(alphabet="AC", min_size=1, max_size=80))
def test_tracts_are_periodic_and_maximal(text):
    for start, stop, unit in find_tracts(encode_bases(text)).tolist():
        tract = text[start:stop]
        assert stop - start >= SHORTEST_TRACT[unit]
        assert tract[unit:] == tract[:-unit]
        assert start == 0 or text[start - 1] != text[start - 1 + unit]
        assert stop == len(text) or text[stop] != text[stop - unit]


def test_tracts_come_in_order_of_start():
    codes = np.random.default_rng(1).integers(0, 2, 5_000).astype(np.uint8)
    starts = find_tracts(codes)[:, 0]
    assert np.all(np.diff(starts) >= 0)
