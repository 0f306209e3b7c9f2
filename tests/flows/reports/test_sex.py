"""The sex that depth shows."""

import pytest

from diffbio_core.calling.copy_numbers import HumanBuild
from diffbio_flows.reports.sex import observed_sex

BUILD = HumanBuild.of({"chr1": 1, "chr2": 1, "chr21": 1, "chrX": 156_040_895, "chrY": 57_227_415})


@pytest.mark.parametrize(
    ("x", "y", "sex"),
    [
        (30.0, 0.5, "female"),
        (15.0, 12.0, "male"),
        (30.0, 14.0, "unclear"),
        (15.0, 0.0, "unclear"),
        (22.0, 6.0, "unclear"),
    ],
)
def test_x_and_y_have_to_agree(x, y, sex):
    # A person with three of chromosome 21.
    seen = observed_sex({"chr1": 30.0, "chr2": 30.5, "chr21": 45.0, "chrX": x, "chrY": y}, BUILD)
    assert seen is not None
    assert seen.sex == sex
    assert seen.x == pytest.approx(x / 30.5)


def test_x_decides_where_y_was_not_called():
    for depth, sex in ((29.0, "female"), (16.0, "male"), (23.0, "unclear")):
        seen = observed_sex({"chr1": 30.0, "chrX": depth}, BUILD)
        assert seen is not None
        assert (seen.sex, seen.y) == (sex, None)


def test_nothing_is_said_without_a_human_reference_or_something_to_compare():
    assert observed_sex({"chr1": 30.0, "chrX": 15.0}, None) is None
    assert observed_sex({"chr1": 30.0}, BUILD) is None
    assert observed_sex({"chrX": 30.0}, BUILD) is None
