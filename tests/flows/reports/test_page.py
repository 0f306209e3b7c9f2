"""The page of a report."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

from diffbio_core.evaluation.summary import SummaryRow
from diffbio_flows.reports.distributions import Distributions
from diffbio_flows.reports.page import Report, as_multiqc, as_page
from diffbio_flows.reports.summary import CallSummary
from diffbio_flows.reports.tables import tables
from diffbio_flows.runs.evaluate import EvaluationTable
from tests.flows.call_summaries import SUMMARY
from tests.flows.reports.test_distributions import line

REPORT = Report(
    calls="calls.vcf.gz",
    sample=SUMMARY.sample,
    variants=SUMMARY.variants,
    distributions=Distributions.of([line(), line(ref="A", alt="AT", gq="7"), line(genotype="1/1", support="0,9")]),
    contigs={"chr1": 1000},
    summary=SUMMARY,
    card={"parameters_sha256": "abc", "thresholds": {"base_quality": 12.5}, "training_data": {"a": 1, "b": 2}},
)


class Page(HTMLParser):
    """What a browser would show, and fetch."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.fetched = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href") and not value.startswith("#")]

    def handle_data(self, data):
        if self.get_starttag_text() in ("<th>", "<td>") and data.strip():
            self.cells.append(data)


def test_it_holds_every_row_of_every_table_and_fetches_nothing():
    page = Page(as_page(REPORT))
    for title, rows in tables(SUMMARY):
        if title != "Warnings":
            assert {cell for row in rows for cell in row} <= set(page.cells)
    assert {"learned base quality", "12.5", "2 sets"} <= set(page.cells)
    assert page.fetched == []
    assert "diffbio view calls.vcf.gz chr1:7" in as_page(REPORT)
    assert "script" not in page.tags


def test_pictures_are_those_that_there_is_something_to_show_of():
    page = as_page(REPORT)
    assert page.count("<svg") == 8
    assert "Coverage" not in page
    assert "<svg" not in as_page(replace(REPORT, distributions=Distributions(), summary=None))


def test_the_same_calls_give_the_same_page():
    assert as_page(REPORT) == as_page(REPORT)


def test_a_name_cannot_break_the_page():
    hostile = "<script>alert(1)</script>"
    distributions = Distributions.of([line(ref=hostile, alt="<b>", filters="PASS")])
    summary = replace(SUMMARY, sample=hostile, output=hostile, warnings=(hostile,))
    page = as_page(replace(REPORT, sample=hostile, summary=summary, distributions=distributions, contigs={hostile: 9}))
    assert hostile not in page
    assert "&lt;script&gt;" in page
    assert "script" not in Page(page).tags


def test_a_truth_is_shown_with_its_reliability():
    row = SummaryRow.count("ALL", "PASS", {}, {})
    band = {"kind": "SNP", "from": 10, "records": 4, "errors": 1, "expected": 0.2}
    table = EvaluationTable((row,), row, reliability={"qual": [band], "gq": [band]})
    page = as_page(replace(REPORT, evaluation=table))
    assert "Against the truth" in page
    assert "Reliability of QUAL and GQ" in page


def test_multiqc_gets_a_row_of_the_sample():
    found = json.loads(as_multiqc(REPORT))
    assert found["plot_type"] == "generalstats"
    assert found["data"] == {"<NA12878>": {"records": 2, "ti_tv": 2.0, "het_hom": 2.0, "indels": 0, "depth": 0.0}}
    assert found["headers"].keys() == found["data"]["<NA12878>"].keys()


def test_a_summary_survives_json():
    told = json.loads(json.dumps(SUMMARY.to_json()))
    again = CallSummary.from_json(told)
    assert json.loads(json.dumps(again.to_json())) == told
