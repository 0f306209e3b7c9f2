"""Normal form of alleles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.calling.alleles import edit, normalise

REFERENCE = "GATTTTTTACACACACGGNC"


def bases(start, stop):
    return REFERENCE[start:stop]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ((6, "TT", ("T",)), (1, "AT", ("A",))),  # a deletion in a homopolymer goes to its start
        ((7, "T", ("TT",)), (1, "A", ("AT",))),
        ((13, "CAC", ("C",)), (7, "TAC", ("T",))),  # a unit of a tandem repeat
        ((3, "TTT", ("TTC",)), (5, "T", ("C",))),  # an SNV written long
        ((2, "tt", ("ta",)), (3, "T", ("A",))),  # lower case
        ((6, "TT", ("T", "TTT")), (1, "AT", ("A", "ATT"))),  # two alleles move together
        ((6, "TT", ("T", "TC")), (6, "TT", ("T", "TC"))),  # and neither moves where the other cannot
        ((0, "GA", ("A",)), (0, "GA", ("A",))),  # nothing stands to the left of the first base
        ((5, "T", ("*",)), (5, "T", ("*",))),
        ((5, "T", ("<DEL>",)), (5, "T", ("<DEL>",))),
    ],
)
def test_a_record_becomes_minimal_and_left_aligned(record, expected):
    position, ref, alts = record
    assert normalise(position, ref, alts, bases) == expected


def test_a_repeat_longer_than_one_look_to_the_left_is_crossed():
    sequence = "C" + "A" * 1000 + "G"
    assert normalise(1000, "A", ("AA",), lambda a, b: sequence[a:b]) == (0, "C", ("CA",))


def test_an_insertion_at_the_contigs_start_keeps_the_base_after_it():
    sequence = "A" * 300 + "G"
    assert normalise(299, "A", ("AA",), lambda a, b: sequence[a:b]) == (0, "A", ("AA",))


def spell(sequence, position, ref, alt):
    assert sequence[position : position + len(ref)] == ref
    return sequence[:position] + alt + sequence[position + len(ref) :]


sequences = st.text("AC", min_size=8, max_size=30)


@st.composite
def records(draw):
    sequence = draw(sequences)
    start = draw(st.integers(0, len(sequence) - 1))
    stop = draw(st.integers(start + 1, min(len(sequence), start + 5)))
    ref = sequence[start:stop]
    alts = draw(st.lists(st.text("AC", min_size=1, max_size=5).filter(lambda a: a != ref), min_size=1, max_size=2))
    return sequence, start, ref, tuple(alts)


@given(records())
def test_the_normal_form_spells_the_same_and_is_its_own_normal_form(record):
    sequence, start, ref, alts = record
    look = lambda a, b: sequence[a:b]  # noqa: E731
    normal = normalise(start, ref, alts, look)
    for before, after in zip(alts, normal[2], strict=True):
        assert spell(sequence, normal[0], normal[1], after) == spell(sequence, start, ref, before)
    assert normalise(*normal, look) == normal


@given(records())
def test_records_that_spell_the_same_have_one_normal_form(record):
    sequence, start, ref, alts = record
    look = lambda a, b: sequence[a:b]  # noqa: E731
    before, after = sequence[:start][-3:], sequence[start + len(ref) :][:3]
    wide = start - len(before), before + ref + after, (before + alts[0] + after,)
    assert normalise(*wide, look) == normalise(start, ref, alts[:1], look)


@given(records())
def test_an_edit_spells_what_its_record_spells(record):
    sequence, start, ref, alts = record
    first, last, inserted = edit(start, ref, alts[0])
    assert sequence[:first] + inserted + sequence[last:] == spell(sequence, start, ref, alts[0])
