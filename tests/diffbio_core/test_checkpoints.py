import jax
import pytest

from diffbio_core.checkpoints import load_checkpoint, read_description, save_checkpoint
from diffbio_core.operators.base import TemperatureConfig, TemperatureOperator
from diffbio_core.pipelines import create_preprocessing_pipeline, create_variant_calling_pipeline
from tests.diffbio_core.read_samples import largest_difference, read_sample


def pipeline(**more):
    return create_variant_calling_pipeline(reference_length=20, **{"hidden_dim": 8, **more})


def test_a_loaded_pipeline_gives_what_the_saved_one_gave(tmp_path):
    saved, loaded = pipeline(seed=1), pipeline(seed=2)
    saved.quality_filter.threshold[...] = 27.5
    saved.pileup.temperature[...] = 0.3

    save_checkpoint(saved, tmp_path / "model.safetensors")
    assert load_checkpoint(loaded, tmp_path / "model.safetensors") is loaded

    assert float(loaded.quality_filter.threshold[...]) == 27.5
    first, second = (one.apply(read_sample(), {}, None)[0]["logits"] for one in (saved, loaded))
    assert largest_difference(first, second) == 0


def test_a_checkpoint_tells_what_it_holds(tmp_path):
    save_checkpoint(pipeline(), tmp_path / "model.safetensors")

    described = read_description(tmp_path / "model.safetensors")

    assert described["class"] == "VariantCallingPipeline"
    assert described["config"]["reference_length"] == 20
    assert described["config"]["classifier_type"] == "mlp"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: pipeline(hidden_dim=16),
            r"classifier\.input_layer\.kernel has shape \(44, 8\) in the checkpoint, \(44, 16\)",
        ),
        (lambda: pipeline(num_classes=4), r"classifier\.output_layer\.bias has shape \(3,\) in the checkpoint, \(4,\)"),
        (lambda: pipeline(classifier_type="cnn"), r"classifier\.convolutions\.0\.bias is missing in the checkpoint"),
        (create_preprocessing_pipeline, r"pileup\.temperature is not a parameter of the module"),
    ],
)
def test_a_module_of_another_shape_is_refused_by_parameter_and_left_alone(tmp_path, other, message):
    save_checkpoint(pipeline(), tmp_path / "model.safetensors")
    module = other()
    before = jax.tree.leaves(module)

    with pytest.raises(ValueError, match=message):
        load_checkpoint(module, tmp_path / "model.safetensors")

    assert all((first == second).all() for first, second in zip(before, jax.tree.leaves(module), strict=True))


def test_another_precision_is_refused(tmp_path):
    operator = TemperatureOperator(TemperatureConfig())
    save_checkpoint(operator, tmp_path / "model.safetensors")

    with jax.enable_x64(True):
        double = TemperatureOperator(TemperatureConfig())
        with pytest.raises(ValueError, match="temperature is float32 in the checkpoint, float64 in the module"):
            load_checkpoint(double, tmp_path / "model.safetensors")


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    (tmp_path / "text").write_text("not a checkpoint")
    save_checkpoint(pipeline(), tmp_path / "model")
    (tmp_path / "cut").write_bytes((tmp_path / "model").read_bytes()[:-5])

    for name in ("text", "cut"):
        with pytest.raises(ValueError, match="is not a readable checkpoint"):
            load_checkpoint(pipeline(), tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(pipeline(), tmp_path / "missing")


def test_saving_replaces_an_older_file_and_leaves_nothing_else(tmp_path):
    for seed in (1, 2):
        save_checkpoint(pipeline(seed=seed), tmp_path / "model")

    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    expected = pipeline(seed=2).classifier.input_layer.kernel[...]
    assert (load_checkpoint(pipeline(), tmp_path / "model").classifier.input_layer.kernel[...] == expected).all()
