import pytest

from diffbio_core.sources.perturbation import (
    DatasetEntry,
    ExperimentConfig,
    FewshotEntry,
    ZeroshotEntry,
    load_experiment_config,
)

TOML = """
[datasets]
screen1 = "/data/one/"
screen2 = "/data/{two,three}/*.h5ad"

[training]
screen1 = "train"

[zeroshot]
"screen1.Micro.glia" = "test"

[fewshot."screen2.Neuron"]
val = ["BRCA1"]
test = ["TP53", "KRAS"]
"""


def loaded(folder, text):
    (folder / "e.toml").write_text(text, encoding="utf-8")
    return load_experiment_config(folder / "e.toml")


def test_an_experiment_is_read_and_written(tmp_path):
    experiment = loaded(tmp_path, TOML)

    assert experiment == ExperimentConfig(
        datasets=(DatasetEntry("screen1", "/data/one/"), DatasetEntry("screen2", "/data/{two,three}/*.h5ad")),
        training_datasets=("screen1",),
        zeroshot=(ZeroshotEntry("screen1", "Micro.glia", "test"),),
        fewshot=(FewshotEntry("screen2", "Neuron", ("BRCA1",), ("TP53", "KRAS")),),
    )
    assert experiment.get_all_datasets() == {"screen1", "screen2"}
    assert experiment.get_zeroshot_celltypes("screen1") == {"Micro.glia": "test"}
    assert experiment.get_fewshot_celltypes("screen2")["Neuron"].test_perturbations == ("TP53", "KRAS")
    experiment.validate()


def test_names_of_any_kind_survive_being_written(tmp_path):
    experiment = ExperimentConfig(
        datasets=(DatasetEntry("a b", 'C:\\new "x"'),),
        training_datasets=("a b",),
        zeroshot=(ZeroshotEntry("a b", "T\u00e9 cell", "val"),),
        fewshot=(FewshotEntry("a b", "B", test_perturbations=('G"1', "G\\2")),),
    )

    experiment.save_config(tmp_path / "saved.toml")

    assert load_experiment_config(tmp_path / "saved.toml") == experiment


def test_files_are_found_by_path_folder_and_pattern(tmp_path):
    for name in ("a.h5ad", "b.h5", "c.txt"):
        (tmp_path / name).touch()

    def files(path):
        return [file.name for file in DatasetEntry("x", str(path)).files()]

    assert files(tmp_path / "a.h5ad") == ["a.h5ad"]
    assert sorted(files(tmp_path)) == ["a.h5ad", "b.h5"]
    assert files(tmp_path / "{a,b}.h5*") == ["a.h5ad", "b.h5"]
    assert files(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[zero]\n", r"section \[zero\] means nothing"),
        ('datasets = "x"\n', "datasets is no section"),
        ('[zeroshot]\nscreen = "test"\n', "names no cell type"),
        ('[zeroshot]\nscreen.Type = "test"\n', "no text. Put names with dots into quotation marks"),
        ('[training]\nscreen = "test"\n', "The only value is"),
        ('[fewshot."s.T"]\nvalid = ["A"]\n', "valid means nothing"),
        ('[fewshot."s.T"]\ntest = "A"\n', "test is no list of names"),
        ("[fewshot.s]\n", "names no cell type"),
        ("[datasets\n", "is no TOML"),
    ],
)
def test_what_would_be_passed_over_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path, text)


def test_validate_tells_everything_at_once():
    experiment = ExperimentConfig(
        training_datasets=("lost",),
        zeroshot=(ZeroshotEntry("s", "T", "testing"), ZeroshotEntry("s", "U", "val")),
        fewshot=(FewshotEntry("s", "U", ("A",), ("A", "B")),),
    )

    with pytest.raises(ValueError, match="data set 'lost': has no path") as error:
        experiment.validate()

    told = str(error.value)
    assert "split 'testing' is none of train, val, test" in told
    assert "[zeroshot] s.U: is held out in [fewshot], too" in told
    assert "[fewshot] s.U: A are in val and in test" in told


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"e\.toml: no such file"):
        load_experiment_config(tmp_path / "e.toml")
