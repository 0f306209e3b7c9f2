import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from diffbio_core.operators.statistical.pseudobulk import pseudobulk

anndata = pytest.importorskip("anndata")


def _cells(kind):
    obs = pd.DataFrame(
        {
            "donor": ["d1", "d1", "d2", "d2", "d2", "d1"],
            "type": ["T", "T", "T", "B", "T", "T"],
            "sex": ["f", "f", "m", "m", "m", "f"],
            "quality": [1, 2, 3, 4, 5, 6],
        },
        index=[f"c{index}" for index in range(6)],
    )
    values = np.arange(12.0).reshape(6, 2)
    return anndata.AnnData(kind(values), obs=obs, var=pd.DataFrame(index=["x", "y"]))


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_matrix])
def test_cells_of_a_sample_are_added_and_what_they_share_comes_along(kind):
    counts, samples = pseudobulk(_cells(kind), ["donor", "type"], min_cells=2)

    assert counts.loc["d1_T"].to_dict() == {"x": 0 + 2 + 10, "y": 1 + 3 + 11}
    assert counts.loc["d2_T"].to_dict() == {"x": 4 + 8, "y": 5 + 9}
    assert list(samples.columns) == ["donor", "type", "sex", "n_cells"]
    assert samples["n_cells"].to_dict() == {"d1_T": 3, "d2_T": 2}
    assert samples.loc["d2_T", "sex"] == "m"


def test_samples_whose_labels_make_the_same_name_have_names_with_the_columns():
    cells = _cells(np.asarray)
    cells.obs["donor"], cells.obs["type"] = ["a_b", "a_b", "a", "a", "a", "a_b"], ["c", "c", "b_c", "b_c", "b_c", "c"]
    counts, samples = pseudobulk(cells, ["donor", "type", "type"], min_cells=1)
    assert list(counts.index) == list(samples.index) == ["donor=a, type=b_c", "donor=a_b, type=c"]
    assert list(counts["x"]) == [4 + 6 + 8, 0 + 2 + 10]


def test_what_cannot_be_added_up_is_refused():
    with pytest.raises(ValueError, match=r"no columns \['batch'\] in obs"):
        pseudobulk(_cells(np.asarray), ["donor", "batch"])
    with pytest.raises(ValueError, match="has 10 cells; the largest has 3"):
        pseudobulk(_cells(np.asarray), "donor")
    with pytest.raises(ValueError, match="layer 'raw' is not in the AnnData; it has"):
        pseudobulk(_cells(np.asarray), "donor", layer="raw")
    cells = _cells(np.asarray)
    cells.obs["n_cells"] = 1
    with pytest.raises(ValueError, match="column 'n_cells' is where a sample's number of cells goes"):
        pseudobulk(cells, ["donor", "n_cells"])
    logged = _cells(np.log1p)
    with pytest.raises(ValueError, match="in sample c0 is no whole number"):
        pseudobulk(logged, "donor", min_cells=1)
