"""A file is known by its path, its length and when it was written."""

import os

import pytest

from diffbio_io.files.state import FileChangedError, FileState, unchanged


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "reads.bam"
    path.write_bytes(b"abc")
    os.utime(path, ns=(0, 1_500_000_000_123_456_000))
    return path


def test_a_state_tells_length_and_time_to_the_microsecond(file):
    assert FileState.of(file) == FileState(str(file), 3, "2017-07-14T02:40:00.123456+00:00")


def test_a_change_is_told_with_both_states(file):
    state = FileState.of(file)
    file.write_bytes(b"abcd")
    os.utime(file, ns=(0, 1_500_000_001_000_000_000))
    with pytest.raises(FileChangedError) as caught:
        state.check()
    assert str(caught.value) == (
        f"{file} was changed during the run: it had 3 bytes of 2017-07-14T02:40:00.123456+00:00, "
        "now 4 of 2017-07-14T02:40:01.000000+00:00"
    )


def test_another_file_of_the_same_length_and_time_is_told_apart_on_this_machine(file):
    state = FileState.of(file)
    before = state.check()
    assert state.check() == before
    other = file.with_name("other")
    other.write_bytes(b"xyz")
    os.utime(other, ns=(0, 1_500_000_000_123_456_000))
    other.replace(file)
    assert state.check() != before


def test_a_change_inside_the_block_is_told_after_it(file):
    with pytest.raises(FileChangedError, match="now 0 of"), unchanged([FileState.of(file)]):
        file.write_bytes(b"")


def test_what_goes_wrong_because_of_a_change_is_told_as_the_change(file):
    states = [FileState.of(file)]

    def read():
        with unchanged(states):
            file.unlink()
            raise ValueError("no BGZF block starts at byte 0")

    with pytest.raises(FileChangedError, match="cannot be looked at"):
        read()


def test_what_goes_wrong_without_a_change_stays_what_it_is(file):
    with pytest.raises(ValueError, match=r"^corrupt$"), unchanged([FileState.of(file)]):
        raise ValueError("corrupt")
