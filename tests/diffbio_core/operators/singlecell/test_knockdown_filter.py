import logging

import numpy as np
import pytest

from diffbio_core.operators.singlecell.knockdown_filter import (
    KnockdownFilterConfig,
    OnTargetKnockdownFilter,
    is_on_target_knockdown,
)
from diffbio_core.sources.perturbation import PerturbationAnnDataSource, PerturbationSourceConfig
from tests.diffbio_core.made_up_screens import GENES, screen, written

COUNTS = {  # of its own gene, in six cells of each perturbation; controls have 10 of every gene
    "GeneX": [0, 1, 2, 3, 4, 5],  # mean 2.5: kept, but for the cell at 0.5
    "GeneY": [0, 0, 0, 0, 9, 9],  # mean 3.0 is not below 0.3
    "GeneZ": [0, 0, 0, 0, 6, 6],  # mean 2.0; four cells are left
}


def source(tmp_path, table=None, **fields):
    table = table or exact_screen()
    path = written(tmp_path, table)
    return PerturbationAnnDataSource(PerturbationSourceConfig(file_path=path, **{"output_space": "all"} | fields))


def exact_screen(sparse=False, scale=lambda counts: counts):
    table = screen(cell_types=("TypeA",), per_group=6)
    counts = np.full(table.shape, 10, np.float32)
    for place, gene in enumerate(GENES):
        counts[table.obs["perturbation"] == gene, place] = COUNTS[gene]
    table.X = scale(counts)
    if sparse:
        import scipy.sparse

        table.X = scipy.sparse.csr_matrix(table.X)
    return table


EXPECTED = [True] * 6 + [True] * 5 + [False] + [False] * 6 + [True] * 4 + [False] * 2


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("backed", [False, True])
def test_the_three_stages_keep_the_cells_that_they_say(tmp_path, sparse, backed):
    cells = source(tmp_path, exact_screen(sparse), backed=backed)

    report = OnTargetKnockdownFilter(KnockdownFilterConfig(min_cells=4)).examine(cells)

    assert report.mask.tolist() == EXPECTED
    assert [(verdict.perturbation, verdict.kept) for verdict in report.verdicts] == [
        ("GeneX", 5),
        ("GeneY", 0),
        ("GeneZ", 4),
    ]
    np.testing.assert_allclose([verdict.residual for verdict in report.verdicts], [0.25, 0.3, 0.2])
    assert report.reasons[report.why[11]] == "cell keeps 0.5 of its target or more"
    assert report.reasons[report.why[12]] == "perturbation keeps 0.3 of its target or more"


def test_a_perturbation_of_too_few_cells_goes_as_a_whole(tmp_path):
    mask = OnTargetKnockdownFilter(KnockdownFilterConfig(min_cells=5)).process(source(tmp_path))

    assert mask.tolist() == [True] * 11 + [False] * 13


def test_all_genes_are_looked_at_whatever_elements_hold(tmp_path):
    cells = source(tmp_path, output_space="gene", hvg_col="is_hvg")

    assert OnTargetKnockdownFilter(KnockdownFilterConfig(min_cells=4)).process(cells).tolist() == EXPECTED


def test_names_come_from_a_column_where_asked(tmp_path):
    table = exact_screen()
    table.var_names = [f"ENSG{number}" for number in range(6)]
    cells = source(tmp_path, table)

    named = KnockdownFilterConfig(min_cells=4, var_gene_col="symbol")
    assert OnTargetKnockdownFilter(named).process(cells).tolist() == EXPECTED
    with pytest.raises(ValueError, match=r"such as 'GeneX' and genes such as 'ENSG0': no perturbation is named by"):
        OnTargetKnockdownFilter(KnockdownFilterConfig()).process(cells)
    with pytest.raises(ValueError, match="no var column 'gene_name'"):
        OnTargetKnockdownFilter(KnockdownFilterConfig(var_gene_col="gene_name")).process(cells)


def test_genes_not_measured_or_not_expressed_are_told_and_fail(tmp_path, caplog):
    table = exact_screen()[:, ["GeneX", "GeneZ", "Other1"]].copy()
    table.X[:, 1] = 0
    with caplog.at_level(logging.WARNING):
        report = OnTargetKnockdownFilter(KnockdownFilterConfig(min_cells=4)).examine(source(tmp_path, table))

    assert [verdict.why for verdict in report.verdicts] == [
        "kept",
        "target gene not measured",
        "target gene not expressed in controls",
    ]
    assert "1 perturbations fail, target gene not measured: GeneY" in caplog.text
    assert report.mask.sum() == 6 + 5


def test_logarithms_are_refused_and_undone_where_told(tmp_path):
    cells = source(tmp_path, exact_screen(scale=np.log1p))

    with pytest.raises(ValueError, match=r"holds log1p values, .* set log_scale=True"):
        OnTargetKnockdownFilter(KnockdownFilterConfig(min_cells=4)).process(cells)
    undone = KnockdownFilterConfig(min_cells=4, log_scale=True, residual_expression=0.31, cell_residual_expression=0.45)
    kept = [True] * 11 + [False] + [True] * 4 + [False] * 2 + [True] * 4 + [False] * 2
    assert OnTargetKnockdownFilter(undone).process(cells).tolist() == kept


def test_a_file_that_says_log1p_is_believed(tmp_path):
    table = exact_screen()
    table.uns["log1p"] = {}

    with pytest.raises(ValueError, match="holds log1p values"):
        OnTargetKnockdownFilter(KnockdownFilterConfig()).process(source(tmp_path, table))


def test_counts_scaled_here_and_there_are_no_logarithms(tmp_path):
    table = screen(knockdown=1.0, seed=1)
    table.X[:] = np.minimum(table.X, 14)
    table.X[8:16, 0] *= 0.1

    assert OnTargetKnockdownFilter(KnockdownFilterConfig()).process(source(tmp_path, table)).sum() == 24


def test_negative_values_and_absent_controls_are_refused(tmp_path):
    table = exact_screen()
    table.X[0, 0] = -1

    with pytest.raises(ValueError, match="holds values that are negative"):
        OnTargetKnockdownFilter(KnockdownFilterConfig()).process(source(tmp_path, table))
    with pytest.raises(ValueError, match="has no control 'ctrl' in perturbation"):
        OnTargetKnockdownFilter(KnockdownFilterConfig(control_pert="ctrl")).process(source(tmp_path))


def test_values_that_are_not_finite_are_refused_where_they_are_first_read(tmp_path):
    table = exact_screen()
    table.X[0, 0] = np.nan

    with pytest.raises(ValueError, match="NaN or infinite, so that no ratio"):
        OnTargetKnockdownFilter(KnockdownFilterConfig()).process(source(tmp_path, table, backed=True))


def test_a_target_that_two_genes_are_called_is_refused(tmp_path):
    table = exact_screen()
    table.var["symbol"] = [GENES[0], GENES[1], GENES[0], "Other", "Other", "Other"]

    config = KnockdownFilterConfig(var_gene_col="symbol", min_cells=1)
    with pytest.raises(ValueError, match=f"1 target genes that are named twice, first '{GENES[0]}'"):
        OnTargetKnockdownFilter(config).process(source(tmp_path, table))


def test_one_gene_alone():
    expression, perturbed = np.array([10.0, 10, 2, 3.9]), np.array([False, False, True, True])

    assert is_on_target_knockdown(expression, perturbed, ~perturbed, 0.30)
    assert not is_on_target_knockdown(expression, perturbed, ~perturbed, 0.295)
    assert not is_on_target_knockdown(np.zeros(4), perturbed, ~perturbed)
