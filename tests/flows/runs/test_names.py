"""Names of outputs that differ from run to run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.problems import InputError
from diffbio_flows.runs.names import fill_name, is_file_name

VALUES = {"sample": "NA12878", "date": "2026-11-26", "run": "bold-finch"}


def test_fields_are_filled_in():
    assert fill_name("{sample}/{date}.{run}.vcf.gz", VALUES) == "NA12878/2026-11-26.bold-finch.vcf.gz"
    assert fill_name("calls.vcf.gz", VALUES) == "calls.vcf.gz"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{sample.__class__}.vcf.gz", "unknown field {sample.__class__}"),
        ("{time}.vcf.gz", "unknown field {time}"),
        ("{sample!r}", "unknown field"),
        ("{date:%H}", "unknown field"),
        ("{}", "unknown field"),
        ("{sample", "is not a template"),
        ("../{sample}.vcf.gz", "is not a name below the folder"),
        ("/etc/passwd", "is not a name below the folder"),
        (".ssh/{sample}", "is not a name below the folder"),
        ("", "is not a name below the folder"),
    ],
)
def test_a_template_that_leads_elsewhere_is_refused(template, told):
    with pytest.raises(InputError, match="name: ") as caught:
        fill_name(template, VALUES)
    assert told in str(caught.value)


@pytest.mark.parametrize("sample", ["../x", "a/b", ".hidden", "", "a\nb", "a\0b"])
def test_a_sample_that_leads_elsewhere_is_refused(sample):
    with pytest.raises(InputError, match="cannot be part of a file's name"):
        fill_name("{sample}.vcf.gz", VALUES | {"sample": sample})


@given(st.text(max_size=20), st.text(max_size=10), st.text(max_size=10))
def test_whatever_is_filled_in_stays_below_the_folder(template, sample, run):
    try:
        name = fill_name(template + "{sample}{run}", {"sample": sample, "date": "2026-11-26", "run": run})
    except InputError:
        return
    assert not name.startswith("/")
    assert all(is_file_name(part) and part not in (".", "..") for part in name.split("/"))
