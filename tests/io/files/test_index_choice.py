"""Which index of several is taken."""

import os

import pytest

from diffbio_io.files.index_choice import choose_index

ENDINGS = (".bai", ".csi")


@pytest.fixture
def place(tmp_path):
    """Makes files with times of change, and gives the alignments' path."""

    def make(**times):
        for name, time in times.items():
            path = tmp_path / name.replace("_", ".")
            path.write_text("")
            os.utime(path, (time, time))
        return tmp_path / "x.bam"

    return make


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({"x_bam_bai": 100, "x_bam_csi": 200}, "x.bam.csi"),
        ({"x_bam_bai": 200, "x_bam_csi": 100}, "x.bam.bai"),
        ({"x_bai": 200, "x_bam_bai": 100}, "x.bai"),
        ({"x_csi": 200, "x_bai": 100}, "x.csi"),
        ({"x_bam_bai": 100, "x_bam_csi": 100}, "x.bam.bai"),
    ],
)
def test_the_freshest_is_taken(place, times, chosen):
    assert choose_index(place(x_bam=100, **times), ENDINGS).path.name == chosen


def test_there_may_be_none(place):
    assert choose_index(place(x_bam=100, x_crai=100), ENDINGS) is None


def test_one_that_is_older_than_its_file_is_told_beside_a_fresh_one(place):
    choice = choose_index(place(x_bam=1000, x_bam_bai=10, x_bai=999, x_bam_csi=1001), ENDINGS)
    assert not choice.is_stale
    (warning,) = choice.warnings()
    assert str(warning).endswith(
        "x.bam.bai: is older than x.bam and was not used (x.bam.csi was). Remove it: other programs may take it."
    )


def test_even_the_freshest_may_be_stale(place):
    assert choose_index(place(x_bam=1000, x_bam_bai=10, x_bam_csi=20), ENDINGS).is_stale
