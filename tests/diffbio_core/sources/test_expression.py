import subprocess
import sys

import numpy as np
import pytest

from diffbio_core.sources import open_expression


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.h5ad: no such file"):
        open_expression(tmp_path / "absent.h5ad")


def test_another_format_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("")

    with pytest.raises(ValueError, match=r"t\.csv: ends in neither \.h5ad nor \.h5"):
        open_expression(tmp_path / "t.csv")


def test_an_installed_reader_is_found_by_the_files_ending(tmp_path):
    import anndata

    anndata.AnnData(np.eye(2, dtype=np.float32)).write_h5ad(tmp_path / "t.h5ad")

    np.testing.assert_array_equal(open_expression(tmp_path / "t.h5ad").counts[:], np.eye(2))


def test_the_sources_import_without_any_reader():
    code = "import sys, diffbio_core.sources; print({'anndata', 'pandas', 'diffbio_io'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
