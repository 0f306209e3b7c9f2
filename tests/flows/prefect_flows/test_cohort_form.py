"""What a cohort's form asks for becomes a run, or is refused with the sheet's line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prefect.utilities.callables import parameter_schema

from diffbio_core.problems import InputError
from diffbio_flows.prefect_flows.deployed.cohort import (
    CohortOutputGroup,
    SheetGroup,
    cohort,
    cohort_parameters,
    cohort_text,
)
from diffbio_flows.prefect_flows.forms import MachineGroup, RegionGroup, RunNames
from diffbio_flows.prefect_flows.limits import DeploymentLimits
from diffbio_flows.reports.cohort import CohortSummary, SampleOutcome
from diffbio_io.sample_sheet import read_sample_sheet

NAMES = RunNames(run="bold-finch", scheduled=datetime(2026, 11, 26, 2, tzinfo=UTC))


def asked(tmp_path, rows, **output):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("sample,reads,output,model\n" + "".join(f"{row}\n" for row in rows))
    given = SheetGroup(sheet=str(sheet), reference=f"{tmp_path}/r.fa")
    limits = DeploymentLimits(roots=(tmp_path,))
    return cohort_parameters(given, CohortOutputGroup(**output), RegionGroup(), MachineGroup(workers=2), limits, NAMES)


def test_outputs_have_the_names_of_the_run(tmp_path):
    rows = ["A,a.bam,calls/{sample}.{date}.vcf.gz,", f"B,b.bam,{tmp_path}/B.vcf.gz,"]
    found = asked(tmp_path, rows, joint_folder=str(tmp_path), joint_name="all.{run}.vcf.gz")
    outputs = [found.output(row) for row in read_sample_sheet(found.sheet, ("sample", "reads", "output"), ("model",))]
    assert outputs == [tmp_path / "calls" / "A.2026-11-26.vcf.gz", tmp_path / "B.vcf.gz"]
    assert found.joint == tmp_path / "all.bold-finch.vcf.gz"
    assert (found.only_failed, found.workers, found.force) == (True, 2, False)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("A,/etc/passwd,A.vcf.gz,", "line 2, reads"),
        ("A,a.bam,../A.vcf.gz,", "line 2, output"),
        ("A,a.bam,A.vcf.gz,/etc", "line 2, model"),
    ],
)
def test_no_path_of_a_sheet_leads_out_of_the_roots(tmp_path, row, told):
    with pytest.raises(InputError) as error:
        asked(tmp_path, [row])
    assert error.value.problems[0].subject == f"{tmp_path}/sheet.csv, {told}"
    assert "lies outside the allowed folders" in error.value.problems[0].what


def test_a_name_that_cannot_be_filled_in_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown field \{time\}"):
        asked(tmp_path, ["A,a.bam,{time}.vcf.gz,"])
    with pytest.raises(InputError, match=r"unknown field \{sample\}"):
        asked(tmp_path, ["A,a.bam,A.vcf.gz,"], joint_folder=str(tmp_path), joint_name="{sample}.vcf.gz")


def test_the_form_has_groups_with_descriptions():
    schema = parameter_schema(cohort)
    assert list(schema.properties) == ["input", "output", "region", "machine"]
    assert schema.definitions["CohortOutputGroup"]["properties"]["gvcf"]["type"] == "boolean"
    assert schema.required == ["input"]


def test_the_table_is_markdown_that_no_page_takes_for_markup():
    outcome = SampleOutcome("<b>A", 2, "failed", "A.vcf.gz", "male", ("a.bam: is | damaged",))
    lines = cohort_text(CohortSummary((outcome,), None, 1.0)).splitlines()
    assert lines[2].startswith(r"| \<b\>A | failed |")
    assert lines[-1] == r"- \<b\>A: a.bam: is \| damaged"
