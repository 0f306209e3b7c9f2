"""Verdicts."""

import pytest

from diffbio_core.evaluation.comparison import Verdict, compare, holds
from diffbio_core.evaluation.records import GenotypedVariant as Variant

SEQUENCE = "GATTTTTTACACACACGGTCAGTC" * 20


def bases(start, stop):
    return SEQUENCE[start:stop]


def snv(position, copies=1, alt="N"):
    ref = SEQUENCE[position]
    return Variant(position, ref, ((alt if copies == 2 else ref), alt))


def test_each_kind_of_record_gets_its_verdict():
    truth = [snv(10), snv(100), snv(200), snv(400)]
    calls = [snv(10), snv(100, copies=2), snv(300), snv(420)]
    verdicts = compare(truth, calls, bases, confident=[(0, 390)])
    assert verdicts.truth == [Verdict.MATCHED, Verdict.MISSED, Verdict.MISSED, Verdict.UNKNOWN]
    assert verdicts.calls == [Verdict.MATCHED, Verdict.FALSE_GENOTYPE, Verdict.FALSE, Verdict.UNKNOWN]


def test_without_confident_regions_every_extra_call_is_false():
    assert compare([], [snv(10)], bases).calls == [Verdict.FALSE]


def test_a_call_outside_helps_a_truth_record_inside():
    """The same deletion, written on either side of the regions' edge."""
    truth, call = Variant(6, "TT", ("TT", "T")), Variant(1, "AT", ("AT", "A"))
    verdicts = compare([truth], [call], bases, confident=[(4, 40)])
    assert (verdicts.truth, verdicts.calls) == ([Verdict.MATCHED], [Verdict.UNKNOWN])


def test_an_empty_list_of_confident_intervals_knows_nothing():
    assert compare([snv(5)], [snv(10)], bases, confident=[]).truth == [Verdict.UNKNOWN]


@pytest.mark.parametrize(("position", "inside"), [(9, False), (10, True), (19, True), (20, False), (30, True)])
def test_intervals_are_half_open(position, inside):
    assert holds([(10, 20), (30, 31)], position) is inside
