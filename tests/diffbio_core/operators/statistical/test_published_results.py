"""Real and fixed counts with DESeq2's own results, where ../shared/data is there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffbio_core.operators.statistical.differential_expression import differential_expression

DATA = Path(__file__).parents[5] / "shared" / "data" / "expression"
FIXTURES = DATA / "pydeseq2"
LEVELS = ("condition", "B", "A")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data")


def _read(path):
    return pd.read_csv(path, index_col=0)


def _synthetic():
    folder = FIXTURES / "datasets" / "synthetic"
    return _read(folder / "test_counts.csv").T, _read(folder / "test_metadata.csv")


def _of_kind(kind):
    folder = FIXTURES / "tests" / "data" / kind
    return _read(folder / "test_counts.csv").T, _read(folder / "test_metadata.csv")


def _assert_equal(found, file, rtol=1e-6):
    expected = _read(FIXTURES / "tests" / "data" / file)
    for ours, theirs in (
        ("base_mean", "baseMean"),
        ("log_fold_change", "log2FoldChange"),
        ("wald_statistic", "stat"),
        ("p_values", "pvalue"),
        ("padj", "padj"),
    ):
        np.testing.assert_allclose(found[ours], expected[theirs], rtol=rtol, atol=1e-12, err_msg=ours)
    np.testing.assert_allclose(found["standard_error"] / np.log(2), expected["lfcSE"], rtol=rtol)


@pytest.mark.parametrize(
    ("options", "file"),
    [
        ({}, "r_test_res.csv"),
        ({"trend": "mean"}, "r_test_res_mean_curve.csv"),
        ({"independent_filter": False}, "r_test_res_no_independent_filtering.csv"),
        *(
            ({"threshold": 0.5, "alternative": name}, f"r_test_res_{name}.csv")
            for name in ("greater", "greaterAbs", "less", "lessAbs")
        ),
    ],
)
def test_one_factor(options, file):
    counts, samples = _synthetic()
    found = differential_expression(counts, "~ condition", LEVELS, samples=samples, **options)
    _assert_equal(found, f"single_factor/{file}")


@pytest.mark.parametrize(
    ("kind", "design", "contrast"),
    [
        ("multi_factor", "~ group + condition", LEVELS),
        ("wide", "~ group + condition", LEVELS),
        ("continuous", "~ group + condition + measurement", "measurement"),
    ],
)
def test_several_factors_and_a_continuous_covariate(kind, design, contrast):
    counts, samples = _synthetic() if kind == "multi_factor" else _of_kind(kind)
    found = differential_expression(counts, design, contrast, samples=samples)
    _assert_equal(found, f"{kind}/r_test_res.csv")


@pytest.mark.parametrize(
    ("kind", "design", "contrast"),
    [
        ("multi_factor", "~ group + condition", LEVELS),
        ("continuous", "~ group + condition + measurement", "measurement"),
    ],
)
def test_outliers_among_replicates_and_alone(kind, design, contrast):
    counts, samples = _synthetic() if kind == "multi_factor" else _of_kind(kind)
    counts.loc["sample1", "gene1"], counts.loc["sample11", "gene7"] = 2000, 1000
    samples.loc["sample1", "condition"] = "C"
    found = differential_expression(counts, design, contrast, samples=samples)
    _assert_equal(found, f"{kind}/r_test_res_outliers.csv")


@pytest.mark.parametrize(
    ("kind", "design", "contrast"),
    [
        ("single_factor", "~ condition", LEVELS),
        ("multi_factor", "~ group + condition", LEVELS),
        ("continuous", "~ group + condition + measurement", "measurement"),
    ],
)
def test_shrunken_fold_changes_are_within_a_hundredth(kind, design, contrast):
    counts, samples = _of_kind(kind) if kind == "continuous" else _synthetic()
    found = differential_expression(counts, design, contrast, samples=samples, shrink=True)
    expected = _read(FIXTURES / "tests" / "data" / kind / "r_test_lfc_shrink_res.csv")
    np.testing.assert_allclose(found["shrunken_log_fold_change"], expected["log2FoldChange"], rtol=0.01)
    np.testing.assert_allclose(found["shrunken_standard_error"] / np.log(2), expected["lfcSE"], rtol=0.01)


def test_size_factors_over_positive_counts():
    counts, samples = _synthetic()
    found = differential_expression(counts, "~ condition", LEVELS, samples=samples, size_factors="poscounts")
    expected = _read(FIXTURES / "tests" / "data" / "single_factor" / "r_test_size_factors_poscount.csv")
    np.testing.assert_allclose(found["size_factors"], expected["sizeFactor"], rtol=1e-9)


def test_pasilla():
    counts, expected = _read(DATA / "pasilla_counts.csv.gz"), _read(DATA / "pasilla_deseq2.csv.gz")
    samples = pd.DataFrame({"condition": [name[:-1] for name in counts]}, index=counts.columns)

    found = differential_expression(counts, "~ condition", ("condition", "treated", "untreated"), samples=samples)

    summary = found.summary()
    assert summary["trend_asymptote"] == pytest.approx(0.0139582, rel=1e-5)
    assert summary["trend_extra"] == pytest.approx(2.72304, rel=1e-5)
    assert summary["prior_variance"] == pytest.approx(0.499505, rel=1e-5)
    change = np.abs(found["log_fold_change"] - expected["log2FoldChange"])[expected["baseMean"] > 10]
    assert change.quantile(0.99) < 1e-5
    np.testing.assert_allclose(found["padj"], expected["padj"], rtol=1e-3)
    assert set(expected.index[found["padj"] < 0.05]) == set(expected.index[expected["padj"] < 0.05])
