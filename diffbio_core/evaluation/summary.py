"""The summary table that hap.py prints: counts and rates per type of variant and per filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffbio_core.evaluation.comparison import Verdict

COLUMNS = (
    "Type",
    "Filter",
    "TRUTH.TOTAL",
    "TRUTH.TP",
    "TRUTH.FN",
    "QUERY.TOTAL",
    "QUERY.FP",
    "QUERY.UNK",
    "FP.gt",
    "METRIC.Recall",
    "METRIC.Precision",
    "METRIC.F1_Score",
)


@dataclass(frozen=True)
class SummaryRow:
    """One row of the table (columns of Krusche et al. 2019, doi:10.1038/s41587-019-0054-x).

    Attributes:
        kind: ``SNP``, ``INDEL``, or ``ALL`` for both.
        filter: ``ALL`` for every record called, ``PASS`` for those that passed the filters.
        truth_tp: Truth records that calls match.
        truth_fn: Truth records that none does.
        query_total: Calls, those outside the confident regions too.
        query_fp: Calls inside the confident regions that match no truth.
        query_unk: Calls outside the confident regions.
        fp_gt: Of the false calls, those with right alleles and a wrong genotype.
    """

    kind: str
    filter: str
    truth_tp: int
    truth_fn: int
    query_total: int
    query_fp: int
    query_unk: int
    fp_gt: int

    @classmethod
    def count(
        cls,
        kind: str,
        filter: str,
        truth: Mapping[tuple[str, Verdict], int],
        calls: Mapping[tuple[str, Verdict], int],
    ) -> SummaryRow:
        """A row from how often each kind of record got each verdict."""
        kinds = ("SNP", "INDEL") if kind == "ALL" else (kind,)
        t, c = Counter[Verdict](), Counter[Verdict]()
        for verdict in Verdict:
            t[verdict] = sum(truth.get((k, verdict), 0) for k in kinds)
            c[verdict] = sum(calls.get((k, verdict), 0) for k in kinds)
        return cls(
            kind,
            filter,
            truth_tp=t[Verdict.MATCHED],
            truth_fn=t[Verdict.MISSED],
            query_total=c.total(),
            query_fp=c[Verdict.FALSE] + c[Verdict.FALSE_GENOTYPE],
            query_unk=c[Verdict.UNKNOWN],
            fp_gt=c[Verdict.FALSE_GENOTYPE],
        )

    @property
    def truth_total(self) -> int:
        """Truth records inside the confident regions."""
        return self.truth_tp + self.truth_fn

    @property
    def recall(self) -> float | None:
        """Share of the truth that was found; None where there is none."""
        return self.truth_tp / self.truth_total if self.truth_total else None

    @property
    def precision(self) -> float | None:
        """Share of the judged calls that are right; None where none is judged."""
        judged = self.query_total - self.query_unk
        return 1 - self.query_fp / judged if judged else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of recall and precision; None where either is undefined or both are 0."""
        if self.recall is None or self.precision is None or self.recall + self.precision == 0:
            return None
        return 2 * self.recall * self.precision / (self.recall + self.precision)

    def to_dict(self) -> dict[str, Any]:
        """The row by hap.py's column names; undefined rates are None."""
        counts = (self.truth_total, self.truth_tp, self.truth_fn, self.query_total, self.query_fp, self.query_unk)
        rates = (self.recall, self.precision, self.f1)
        return dict(zip(COLUMNS, (self.kind, self.filter, *counts, self.fp_gt, *rates), strict=True))
