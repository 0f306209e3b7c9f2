import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "differential_expression.py"
COUNTS = Path(__file__).parents[3] / "shared" / "data" / "expression" / "pasilla_counts.csv.gz"


@pytest.mark.skipif(not COUNTS.is_file(), reason="no ../shared/data")
def test_the_second_factor_finds_more_genes_and_gradients_add_up(capsys):
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)

    result, pull = example.main(COUNTS)

    # DESeq2 finds as many.
    printed = capsys.readouterr().out
    assert "~ condition          409 higher, 436 lower" in printed
    assert "~ type + condition   481 higher, 587 lower" in printed
    assert result.table()["padj"].idxmin() == "FBgn0003360"
    # 1 % more reads in all treated samples are 1 % more of the gene there.
    assert pull[:3].sum() == pytest.approx(0.01 / np.log(2), rel=0.02)
    assert pull[3:].sum() == pytest.approx(-0.01 / np.log(2), rel=0.02)
