"""A fresh folder is empty at first, and gone in the end."""

import pytest

from diffbio_io.files.fresh_folder import fresh_folder


def test_what_was_left_under_its_name_goes_first(tmp_path):
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside" / "left").touch()
    with fresh_folder(tmp_path / "aside") as folder:
        assert list(folder.iterdir()) == []


def test_it_goes_with_all_in_it_also_after_an_error(tmp_path):
    def fail():
        with fresh_folder(tmp_path / "aside") as folder:
            (folder / "file").touch()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert list(tmp_path.iterdir()) == []
