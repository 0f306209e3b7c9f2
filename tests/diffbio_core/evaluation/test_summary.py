"""Rows of the table made of verdicts."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.evaluation.comparison import Verdict
from diffbio_core.evaluation.summary import COLUMNS, SummaryRow


def test_a_row_counts_and_rates_as_hap_py_does():
    truth = Counter({("SNP", Verdict.MATCHED): 8, ("SNP", Verdict.MISSED): 2, ("SNP", Verdict.UNKNOWN): 5})
    calls = Counter(
        {
            ("SNP", Verdict.MATCHED): 8,
            ("SNP", Verdict.FALSE): 1,
            ("SNP", Verdict.FALSE_GENOTYPE): 1,
            ("SNP", Verdict.UNKNOWN): 4,
            ("INDEL", Verdict.FALSE): 9,
        }
    )
    row = SummaryRow.count("SNP", "PASS", truth, calls).to_dict()
    assert row.pop("METRIC.F1_Score") == pytest.approx(0.8)
    assert row == {
        "Type": "SNP", "Filter": "PASS", "TRUTH.TOTAL": 10, "TRUTH.TP": 8, "TRUTH.FN": 2, "QUERY.TOTAL": 14,
        "QUERY.FP": 2, "QUERY.UNK": 4, "FP.gt": 1, "METRIC.Recall": 0.8, "METRIC.Precision": 0.8,
    }  # fmt: skip
    assert SummaryRow.count("ALL", "ALL", truth, calls).query_fp == 11


def test_rates_of_nothing_are_undefined():
    row = SummaryRow.count("INDEL", "ALL", {}, {})
    assert (row.recall, row.precision, row.f1) == (None, None, None)


def counts(*verdicts):
    """How often each kind of record gets each of some verdicts."""
    return st.dictionaries(st.tuples(st.sampled_from(["SNP", "INDEL"]), st.sampled_from(verdicts)), st.integers(0, 50))


TRUTH = counts(Verdict.MATCHED, Verdict.MISSED, Verdict.UNKNOWN)
CALLS = counts(Verdict.MATCHED, Verdict.FALSE, Verdict.FALSE_GENOTYPE, Verdict.UNKNOWN)


@given(TRUTH, CALLS)
def test_the_row_of_all_types_adds_those_of_each(truth, calls):
    snp, indel, both = (SummaryRow.count(kind, "ALL", truth, calls) for kind in ("SNP", "INDEL", "ALL"))

    for name in ("truth_tp", "truth_fn", "truth_total", "query_total", "query_fp", "query_unk", "fp_gt"):
        assert getattr(both, name) == getattr(snp, name) + getattr(indel, name)


@given(TRUTH, CALLS)
def test_rates_follow_from_the_verdicts(truth, calls):
    row = SummaryRow.count("INDEL", "ALL", truth, calls)
    found, missed = (truth.get(("INDEL", verdict), 0) for verdict in (Verdict.MATCHED, Verdict.MISSED))
    right, wrong, wrong_genotype = (
        calls.get(("INDEL", verdict), 0) for verdict in (Verdict.MATCHED, Verdict.FALSE, Verdict.FALSE_GENOTYPE)
    )
    judged = right + wrong + wrong_genotype

    assert row.recall == (pytest.approx(found / (found + missed)) if found + missed else None)
    assert row.precision == (pytest.approx(right / judged) if judged else None)
    if row.recall is None or row.precision is None or not found + right:
        assert row.f1 is None
    else:
        assert row.f1 == pytest.approx(2 * row.recall * row.precision / (row.recall + row.precision))


def test_f1_is_undefined_where_nothing_is_right():
    row = SummaryRow("SNP", "ALL", truth_tp=0, truth_fn=3, query_total=2, query_fp=2, query_unk=0, fp_gt=0)

    assert (row.recall, row.precision, row.f1) == (0, 0, None)


def test_calls_outside_the_confident_regions_are_not_judged():
    row = SummaryRow("SNP", "ALL", truth_tp=2, truth_fn=0, query_total=9, query_fp=0, query_unk=7, fp_gt=0)

    assert row.precision == 1


def test_the_columns_stand_in_the_order_of_the_table():
    row = SummaryRow("SNP", "PASS", truth_tp=1, truth_fn=2, query_total=10, query_fp=3, query_unk=4, fp_gt=1)

    assert tuple(row.to_dict()) == COLUMNS
    assert tuple(row.to_dict().values())[:9] == ("SNP", "PASS", 3, 1, 2, 10, 3, 4, 1)
