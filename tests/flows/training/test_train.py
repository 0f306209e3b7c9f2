"""Training ends in the same bits, however many workers take part."""

import json

import numpy as np
import pytest

from diffbio_core.problems import InputError
from diffbio_flows import train_model

TINY = {"validation": ("chr2",), "batch": 8, "channels": 8, "epochs": 7, "checkpoint_every": 3}


@pytest.fixture(scope="module")
def trained(known_sample, in_process, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "model"
    summary = train_model(**known_sample.fields, **TINY, output=output, cluster=in_process)
    return summary, output


def test_a_model_and_a_line_per_step_come_of_it(trained):
    summary, output = trained
    card = json.loads((output / "card.json").read_text())
    assert card["parameters_sha256"] == summary.parameters_sha256
    assert set(card["training_data"]["windows"]) > {"truth", "confident", "without_candidate", "training"}
    lines = [json.loads(line) for line in (output.parent / "model.work" / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, summary.steps + 1))
    assert set(lines[0]) >= {"loss", "gradient_norm", "windows_per_second", "read", "computed", "reduced", "waited"}
    assert np.isclose(summary.loss, np.mean([line["loss"] for line in lines]))


def test_nearly_all_true_alleles_have_a_candidate(trained):
    table = trained[0].sets["windows"]
    assert table["truth_alleles"] > 200
    assert sum(table["without_candidate"].values()) < 0.05 * table["truth_alleles"]
    assert sum(table["training"][1:]) + sum(table["validation"][1:]) > 0.9 * table["truth_alleles"]


def test_candidates_kept_apart_are_measured_after_each_epoch_and_the_best_is_kept(trained):
    summary, output = trained
    lines = [json.loads(line) for line in (output.parent / "model.work" / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, summary.steps + 1))
    scores = {line["step"]: line["table"]["all"]["f1"] for line in lines}
    assert max(scores, key=scores.__getitem__) == summary.best_step
    table = summary.validation
    assert table["all"]["candidates"] == sum(summary.sets["windows"]["validation"])
    for parts in (
        ("SNV", "insertion", "deletion"),
        ("0 copies", "1 copies", "2 copies"),
        ("in repeats", "outside repeats"),
    ):
        assert sum(table[part]["candidates"] for part in parts) == table["all"]["candidates"]
    assert (
        sum(row["candidates"] for name, row in table.items() if name.startswith("depth")) == table["all"]["candidates"]
    )


def test_what_was_kept_apart_is_called_and_its_qualities_are_held_against_the_truth(trained):
    summary, output = trained
    overall = summary.calls[-1]
    assert overall["Type"] == "ALL"
    assert overall["TRUTH.TOTAL"] > 50
    folder = output.parent / "model.work" / "validation"
    assert {path.name for path in folder.iterdir()} >= {"calibration.json", "calibration.csv", "windows.vcf.gz"}
    judged = sum(row["records"] for row in summary.calibration["qual"])
    assert judged == overall["QUERY.TOTAL"] - overall["QUERY.UNK"]
    card = json.loads((output / "card.json").read_text())
    assert card["metrics"]["calls"] == list(summary.calls)


def test_the_same_command_goes_on_where_it_stood(known_sample, in_process, trained, tmp_path):
    whole = trained[0]
    output = tmp_path / "model"
    fields = {**known_sample.fields, **TINY, "output": output, "cluster": in_process}

    class StopError(Exception):
        pass

    def stop(stage, done, steps, loss):
        if stage == "training" and done == 5:
            raise StopError

    with pytest.raises(StopError):
        train_model(**fields, told=stop)
    resumed = train_model(**fields, resume=True)
    assert resumed.resumed_from == 4
    assert resumed.parameters_sha256 == whole.parameters_sha256


@pytest.mark.slow
def test_the_number_of_workers_does_not_show(known_sample, tmp_path):
    shas = {
        train_model(**known_sample.fields, **TINY, output=tmp_path / f"m{workers}", workers=workers).parameters_sha256
        for workers in (1, 4)
    }
    assert len(shas) == 1


def test_all_that_is_wrong_is_told_at_once(known_sample, in_process, tmp_path):
    sets = tmp_path / "sets.toml"
    sets.write_text(
        f'[[set]]\nname = "a"\nstore = "none.zarr"\ntruth = "none.vcf"\nconfident = "{known_sample.confident}"\n'
        f'[[set]]\nname = "b"\nstore = "{known_sample.store}"\ntruth = "{known_sample.truth}"\n'
        f'confident = "{known_sample.confident}"\nvalidation = ["chr9"]\n'
    )
    with pytest.raises(InputError) as told:
        train_model(sets=sets, output=tmp_path / "none" / "model", cluster=in_process, init=tmp_path)
    text = str(told.value)
    store = "none.zarr is not a window store"
    for wrong in (store, "none.vcf", "set 'b', region 'chr9'", "none does not exist", "--init"):
        assert wrong in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sets.toml"]


def test_resuming_nothing_is_refused(known_sample, in_process, tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        train_model(**known_sample.fields, **TINY, output=tmp_path / "m", cluster=in_process, resume=True)
