"""``diffbio de`` as a process of its own."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.diffbio_core.operators.statistical.deseq2_results import deseq2_results


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    counts, samples, expected = deseq2_results("paired")
    counts.T.to_csv(folder / "counts.csv")
    samples.to_csv(folder / "samples.tsv", sep="\t")
    return folder, expected


def _arguments(folder, output, *more):
    return (
        *("de", "--counts", folder / "counts.csv", "--samples", folder / "samples.tsv", "--output", output),
        *("--design", "~ cell + dex", "--contrast", "dex,trt,untrt", *more),
    )


def test_a_table_with_deseq2s_numbers_and_three_plots(diffbio, files, tmp_path):
    folder, expected = files

    done = diffbio(*_arguments(folder, tmp_path / "T.tsv.gz", "--json"))

    assert done.returncode == 0
    table = pd.read_csv(tmp_path / "T.tsv.gz", sep="\t", index_col="gene")
    np.testing.assert_allclose(table["padj"], expected["padj"], rtol=2e-3)
    assert (table["reason"].isna() == table["padj"].notna()).all()
    summary = json.loads(done.stdout)
    assert summary["higher"] + summary["lower"] == (expected["padj"] < 0.05).sum()
    plots = sorted(path.name for path in tmp_path.glob("*.png"))
    assert plots == ["T.dispersion.png", "T.ma.png", "T.p_values.png"]
    assert all((tmp_path / plot).read_bytes().startswith(b"\x89PNG") for plot in plots)


def test_what_may_surprise_is_told(diffbio_here, files, tmp_path):
    counts, samples, _ = deseq2_results("paired")
    counts = counts.iloc[:, :300].rename(columns=dict(zip(counts.columns, ["00001", "1.10", "1.10"], strict=False)))
    counts.assign(__ambiguous=7).T.to_csv(tmp_path / "counts.csv", index_label="")
    batches = ["1", "2", "late", "1", "2", "late", "1"]
    samples.iloc[:-1].assign(**{"the day": [1, 2, 3, 4, 5, 6, 8], "batch": batches}).to_csv(tmp_path / "samples.csv")

    done = diffbio_here(
        *("de", "--counts", tmp_path / "counts.csv", "--samples", tmp_path / "samples.csv", "--no-plots"),
        *("--output", tmp_path / "T.csv", "--design", "~ `the day` + batch + dex"),
    )

    assert done.returncode == 0
    told = " ".join(done.stderr.split())
    assert f"has no such sample: 1 ({samples.index[-1]})" in told
    assert "'the day' holds whole numbers and is continuous, a change per unit; C(`the day`) is a factor" in told
    assert "1 genes are named more than once, and are tested row by row: 1.10" in told
    assert "left out, as they are no genes: __ambiguous" in told
    assert "'batch' is a factor of 3 levels, as 'late' is no number" in told
    genes = [line.split(",")[0] for line in (tmp_path / "T.csv").read_text().splitlines()]
    assert genes[1:4] == ["00001", "1.10", "1.10"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--reduced", "~ donor"), "--reduced: design '~ donor': the sample table has no column ['donor']"),
        (("--reduced", "~ cell + dex"), "--reduced: design of shape"),
        (("--threshold", "-1"), "--threshold: a log2 fold change, must not be negative, got -1"),
        (("--alpha", "2"), "--alpha: must lie between 0 and 1, got 2"),
        (("--contrast", "dex,trt"), "neither a coefficient nor FACTOR,LEVEL,REFERENCE"),
        (("--contrast", "dex,trt,none"), "--contrast: factor 'dex' has no level 'none'. There are ['trt', 'untrt']."),
        (("--design", "~ donor"), "--design: '~ donor': the sample table has no column ['donor']"),
        (("--sum-cells-by", "cell"), "--sum-cells-by is for .h5ad"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_no_table(diffbio_here, files, tmp_path, more, told):
    done = diffbio_here(*_arguments(files[0], tmp_path / "T.csv", *more))

    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_the_output_is_checked_first(diffbio_here, files, tmp_path):
    done = diffbio_here(*_arguments(files[0], tmp_path / "none" / "T.csv"))
    assert done.returncode == 2
    assert "does not exist" in done.stderr
    done = diffbio_here(*_arguments(files[0], files[0] / "counts.csv"))
    assert done.returncode == 2
    assert "is an input, too" in done.stderr
