import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from diffbio_core.operators.statistical.differential_expression import (
    REASON_FILTERED,
    REASON_NO_COUNTS,
    REASON_OUTLIER,
    differential_expression,
)
from tests.diffbio_core.operators.statistical.deseq2_results import deseq2_results, same_nan


@pytest.fixture(scope="module")
def paired():
    counts, samples, expected = deseq2_results("paired")
    return counts, samples, expected, differential_expression(
        counts, "~ cell + dex", ("dex", "trt", "untrt"), samples=samples, shrink=True
    )  # fmt: skip


@pytest.fixture(scope="module")
def outliers():
    counts, samples, expected = deseq2_results("outliers")
    return counts, samples, expected, differential_expression(counts, "~ grp", ("grp", "B", "A"), samples=samples)


@pytest.mark.parametrize("name", ["paired", "outliers"])
def test_every_number_is_that_of_deseq2(name, request):
    _, _, expected, found = request.getfixturevalue(name)

    for ours, theirs, tolerance in (
        ("base_mean", "base_mean", 1e-7),
        ("dispersion_trend", "trend", 1e-4),
        ("dispersion", "dispersion", 1e-3),
        ("padj", "padj", 2e-3),
        ("p_values", "p", 2e-3),
    ):
        assert same_nan(found[ours], expected[theirs]), ours
        np.testing.assert_allclose(found[ours], expected[theirs], rtol=tolerance, err_msg=ours)
    np.testing.assert_allclose(found["log_fold_change"], expected["lfc"], atol=2e-3)
    np.testing.assert_allclose(found["standard_error"] / np.log(2), expected["se"], rtol=1e-3)


def test_genewise_dispersions_are_those_of_deseq2(paired):
    _, _, expected, found = paired

    ratio = np.abs(np.log(found["dispersion_genewise"] / expected["genewise"]))
    assert np.mean(ratio[np.isfinite(ratio)] < 1e-4) > 0.99


@pytest.mark.parametrize("name", ["paired", "outliers"])
def test_thresholds_and_the_likelihood_ratio_are_those_of_deseq2(name, request):
    counts, samples, expected, _ = request.getfixturevalue(name)
    design, contrast = ("~ cell + dex", ("dex", "trt", "untrt")) if name == "paired" else ("~ grp", ("grp", "B", "A"))
    options = {"samples": samples, "filter_alpha": 0.1}
    greater = differential_expression(counts, design, contrast, threshold=0.5, **options)
    less = differential_expression(counts, design, contrast, threshold=1.0, alternative="lessAbs", **options)
    ratio = differential_expression(
        counts, design, contrast, reduced="~ cell" if name == "paired" else "~ 1", **options
    )

    np.testing.assert_allclose(greater["p_values"], expected["p_greater"], rtol=3e-3)
    np.testing.assert_allclose(less["p_values"], expected["p_less"], rtol=3e-3)
    np.testing.assert_allclose(ratio["p_values"], expected["p_lrt"], rtol=3e-3)
    assert ratio.test == "LRT"


def test_every_nan_has_a_reason(paired, outliers):
    _, _, _, found = paired
    empty = found["base_mean"] == 0
    assert empty.any()
    np.testing.assert_array_equal(found["reason"] == REASON_NO_COUNTS, empty)
    np.testing.assert_array_equal(found["reason"] == "", np.isfinite(found["padj"]))
    assert (found["reason"] == REASON_FILTERED).any()

    counts, samples, _, replaced = outliers
    kept = differential_expression(counts, "~ grp", ("grp", "B", "A"), samples=samples, replicates_to_replace=99)
    judged = kept["reason"] == REASON_OUTLIER
    assert judged.sum() >= 10
    assert np.isnan(kept["p_values"][judged]).all()
    assert replaced.model.replaced.sum() == 20
    assert not (replaced["reason"] == REASON_OUTLIER).any()


def test_shrinking_keeps_strong_changes_and_draws_weak_ones_to_zero(paired):
    _, _, _, found = paired
    change, shrunken = found["log_fold_change"], found["shrunken_log_fold_change"]
    strong = found["padj"] < 1e-6
    weak = found["p_values"] > 0.5

    assert strong.any()
    assert (np.abs(shrunken[strong] / change[strong] - 1) < 0.2).all()
    assert np.nanmax(np.abs(shrunken[weak])) < 0.35 * np.nanmax(np.abs(change[weak]))
    assert (np.sign(shrunken[strong]) == np.sign(change[strong])).all()


def test_arrays_tables_and_sparse_counts_in_either_direction_give_the_same(paired):
    counts, samples, _, found = paired
    sparse = scipy.sparse.csr_matrix(counts.to_numpy())
    shuffled = samples.iloc[::-1]
    for given in (counts.T, counts.to_numpy(), sparse):
        table = samples if not isinstance(given, pd.DataFrame) else shuffled
        again = differential_expression(given, "~ cell + dex", ("dex", "trt", "untrt"), samples=table)
        np.testing.assert_array_equal(again["p_values"], found["p_values"])


def test_an_anndata_brings_its_samples(paired):
    anndata = pytest.importorskip("anndata")
    counts, samples, _, found = paired
    table = anndata.AnnData(np.zeros(counts.shape), obs=samples, var=pd.DataFrame(index=counts.columns))
    table.layers["counts"] = counts.to_numpy()

    again = differential_expression(table, "~ cell + dex", ("dex", "trt", "untrt"), layer="counts")

    np.testing.assert_array_equal(again["padj"], found["padj"])
    assert list(again.table().index[:2]) == ["g0", "g1"]


def test_swapped_levels_turn_the_sign_alone(paired):
    counts, samples, _, found = paired
    swapped = differential_expression(counts, "~ cell + dex", ("dex", "untrt", "trt"), samples=samples)

    np.testing.assert_allclose(swapped["log_fold_change"], -found["log_fold_change"], rtol=1e-12)
    np.testing.assert_allclose(swapped["p_values"], found["p_values"], rtol=1e-12)


def test_the_table_is_in_log2_and_the_summary_counts(paired):
    _, _, _, found = paired
    table, summary = found.table(), found.summary()

    np.testing.assert_array_equal(table["log_fold_change"], found["log_fold_change"])
    np.testing.assert_allclose(table["log2_standard_error"] * np.log(2), found["standard_error"])
    assert summary["higher"] + summary["lower"] == (table["padj"] < 0.05).sum()
    assert summary["without_counts"] == (table["reason"] == REASON_NO_COUNTS).sum()
    assert summary["contrast"] == "dex: trt vs untrt"


def test_what_cannot_be_done_is_refused(paired):
    counts, samples, _, _ = paired
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, got 5"):
        differential_expression(counts, "~ dex", samples=samples, alpha=5)
    with pytest.raises(ValueError, match="knows no threshold"):
        differential_expression(counts, "~ dex", samples=samples, reduced="~ 1", threshold=1)
    with pytest.raises(ValueError, match="only one can be shrunken"):
        differential_expression(counts, "~ cell", ("cell", "c1", "c2"), samples=samples, shrink=True)
    with pytest.raises(ValueError, match=r"sample table: no row for \['s7'\]"):
        differential_expression(counts, "~ dex", samples=samples.iloc[:-1])
    with pytest.raises(ValueError, match=r"counts: samples \['s0'\] are named more than once"):
        differential_expression(pd.concat([counts, counts.iloc[:1]]), "~ dex", samples=samples)
    with pytest.raises(ValueError, match=r"sample table: samples \['s7'\] are named more than once"):
        differential_expression(counts, "~ dex", samples=pd.concat([samples, samples.iloc[-1:]]))
