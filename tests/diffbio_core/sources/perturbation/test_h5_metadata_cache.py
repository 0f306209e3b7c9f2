import os

import pytest

from diffbio_core.sources.perturbation import GlobalH5MetadataCache, H5MetadataCache
from tests.diffbio_core.made_up_screens import CONTROL, GENES, screen, written


def test_labels_of_a_file_without_its_matrix(tmp_path):
    cache = H5MetadataCache(str(written(tmp_path, screen())))

    assert cache.pert_categories.tolist() == [*GENES, CONTROL]
    assert cache.control_pert_code == 3
    assert cache.control_mask.sum() == 24
    assert cache.n_cells == 96
    assert cache.get_pert_names(cache.pert_codes[[0, 9]]).tolist() == [CONTROL, "GeneX"]
    assert cache.get_cell_type_names(cache.cell_type_codes[[0, 95]]).tolist() == ["TypeA", "TypeC"]
    assert cache.get_batch_names(cache.batch_codes[:2]).tolist() == ["batch1", "batch2"]


def test_an_absent_control_label_or_column_is_told(tmp_path):
    path = written(tmp_path, screen())

    with pytest.raises(ValueError, match="perturbation holds no control 'ctrl', but GeneX"):
        H5MetadataCache(path, control_pert="ctrl")
    with pytest.raises(ValueError, match="no obs column 'plate'"):
        H5MetadataCache(path, batch_col="plate")


def test_the_store_is_one_and_reads_a_file_once_for_the_same_columns(tmp_path):
    path = str(written(tmp_path, screen()))
    store = GlobalH5MetadataCache()

    assert GlobalH5MetadataCache() is store
    first = store.get_cache(path)
    assert store.get_cache(path) is first
    assert store.get_cache(path, cell_type_key="batch").cell_type_categories.tolist() == ["batch1", "batch2"]


def test_a_file_written_anew_is_read_anew(tmp_path):
    path = written(tmp_path, screen())
    before = GlobalH5MetadataCache().get_cache(path)
    written(tmp_path, screen(per_group=2))
    os.utime(path, ns=(0, 0))

    assert (before.n_cells, GlobalH5MetadataCache().get_cache(path).n_cells) == (96, 24)
