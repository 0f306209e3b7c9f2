"""Files that appear whole or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from diffbio_core.whole_file import naming, put_in_place, whole_file, write_whole


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_written_and_an_older_one_replaced(tmp_path, durable):
    path = tmp_path / "file"
    write_whole(path, b"old", durable=durable)
    write_whole(path, "näw", durable=durable)
    assert path.read_text("utf-8") == "näw"
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_not_whole_is_not_seen_and_goes(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    seen = []

    def fail():
        with whole_file(path) as aside:
            aside.write_text("half")
            seen.append(path.read_text())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == ["old"]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_process_that_is_killed_leaves_the_older_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "import os, signal, sys\nfrom diffbio_core.whole_file import whole_file\n"
        "with whole_file(sys.argv[1]) as aside:\n    aside.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert path.read_text() == "old"


def test_a_file_may_be_read_by_those_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_full_disk_is_told_with_the_file(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"), whole_file(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_error_that_names_a_file_keeps_that_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"), naming(tmp_path / "other"):
        (tmp_path / "missing").read_bytes()


def test_a_file_in_place_is_gone_from_where_it_was(tmp_path):
    (tmp_path / "aside").write_text("new")
    put_in_place(tmp_path / "aside", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
