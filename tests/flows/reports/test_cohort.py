"""The table of a cohort."""

from diffbio_flows.reports.cohort import CohortSummary, SampleOutcome

CALLED = {
    "variants": {"records": 1234, "passed": 1000, "ti_tv": 2.0, "het_hom": None},
    "mean_depth": 30.0,
    "sex": {"sex": "male", "x": 0.5, "y": 0.45},
    "report": "a.work/report.html",
}
SUMMARY = CohortSummary(
    (
        SampleOutcome("A", 2, "done", "a.vcf.gz", "female", summary=CALLED),
        SampleOutcome("B", 3, "failed", "b.vcf.gz", "unknown", ("b.bam: no such file. Find it.",)),
        SampleOutcome("C", 4, "done before", "c.vcf.gz", "male", summary=CALLED | {"sex": None}),
    ),
    None,
    1.0,
)


def test_the_text_has_a_line_per_sample_and_tells_why_one_failed():
    assert SUMMARY.to_text().splitlines() == [
        "sample  state        records  Ti/Tv  het/hom  depth  sex         X     Y",
        "A       done           1,234   2.00        -  30.00  female   0.50  0.45  X and Y look male",
        "B       failed             -      -        -      -  unknown     -     -",
        "C       done before    1,234   2.00        -  30.00  male        -     -",
        "",
        "B: b.bam: no such file. Find it.",
    ]


def test_the_json_says_the_same():
    first, second, _ = SUMMARY.to_json()["samples"]
    assert (first["records"], first["sex"], first["observed_sex"], first["depth_of_x"]) == (1234, "female", "male", 0.5)
    assert (second["records"], second["problems"]) == (None, ["b.bam: no such file. Find it."])


def test_a_sex_that_fits_neither_is_doubted_unless_none_was_given():
    unclear = CALLED | {"sex": {"sex": "unclear", "x": 0.75, "y": 0.2}}
    outcomes = [SampleOutcome("A", 2, "done", "a", sex, summary=unclear) for sex in ("male", "unknown")]
    assert [outcome.doubt for outcome in outcomes] == ["X and Y fit neither sex", ""]
