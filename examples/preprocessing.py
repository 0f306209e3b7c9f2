"""Learn a quality threshold by gradient descent, and draw what soft preprocessing does to reads.

Run it with `python examples/preprocessing.py [FOLDER]`: it prints how the threshold moves from 35 to 19.36, and writes
six pictures to the folder (the current one by default). Drawing needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from flax import nnx

from diffbio_core.pipelines import PreprocessingPipeline, PreprocessingPipelineConfig

mpl.use("Agg")
import matplotlib.pyplot as plt


def main(folder: Path) -> None:
    """Print the figures and draw the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    reads, quality = simulate_reads()
    print(f"{len(reads)} reads of {reads.shape[1]} bp, quality {quality.min():.1f} to {quality.max():.1f}")
    draw_quality(quality, folder / "preprocessing-quality-overview.png")
    draw_sigmoid(folder / "preprocessing-sigmoid-threshold.png")

    pipeline = quality_only(20.0, enable_adapter_removal=True, enable_duplicate_weighting=True)
    result, _, _ = pipeline.apply({"reads": reads, "quality": quality}, {}, None)
    weights = result["read_weights"]
    print(f"Read weights range: [{weights.min():.3f}, {weights.max():.3f}]")
    draw_effect(reads, result["preprocessed_reads"], folder / "preprocessing-before-after.png")
    draw_weights(weights, folder / "preprocessing-read-weights.png")

    losses, thresholds = learn_threshold(quality_only(35.0), reads, quality)
    draw_training(losses, thresholds, folder / "preprocessing-training.png")
    strict, learned = (retention(quality_only(threshold), reads, quality) for threshold in (35.0, 19.36))
    compare(strict, learned, quality)
    draw_comparison(strict, learned, folder / "preprocessing-threshold-comparison.png")


def simulate_reads(num_reads: int = 100, read_length: int = 50, seed: int = 42) -> tuple[jax.Array, jax.Array]:
    """Random reads whose quality falls from 35 to 20 towards their end, with noise per read and per base."""
    keys = jax.random.split(jax.random.key(seed), 4)
    reads = jax.nn.one_hot(jax.random.randint(keys[0], (num_reads, read_length), 0, 4), 4)
    falling = 35 - 15 * jnp.arange(read_length) / read_length
    of_read = jax.random.normal(keys[1], (num_reads, 1)) * 3
    of_base = jax.random.normal(keys[2], (num_reads, read_length)) * 5
    return reads, jnp.clip(falling + of_read + of_base, 2.0, 41.0)


def quality_only(
    threshold: float, *, enable_adapter_removal: bool = False, enable_duplicate_weighting: bool = False
) -> PreprocessingPipeline:
    """A pipeline without error correction, which would hide what the filter does."""
    config = PreprocessingPipelineConfig(
        read_length=50,
        quality_threshold=threshold,
        enable_adapter_removal=enable_adapter_removal,
        enable_duplicate_weighting=enable_duplicate_weighting,
        enable_error_correction=False,
    )
    return PreprocessingPipeline(config, rngs=nnx.Rngs(42))


def retention(pipeline: PreprocessingPipeline, reads: jax.Array, quality: jax.Array) -> jax.Array:
    """What is left of each base."""
    result, _, _ = pipeline.apply({"reads": reads, "quality": quality}, {}, None)
    return result["preprocessed_reads"].sum(axis=-1)


def learn_threshold(
    pipeline: PreprocessingPipeline, reads: jax.Array, quality: jax.Array, steps: int = 50
) -> tuple[list[float], list[float]]:
    """Find the threshold that keeps bases above Q30 and drops those below Q15; losses and thresholds per step."""
    good, bad = quality > 30, quality < 15

    def loss_of(pipeline: PreprocessingPipeline) -> jax.Array:
        kept = retention(pipeline, reads, quality)
        return ((1 - kept) * good).mean() + (kept * bad).mean()

    optimizer = nnx.Optimizer(pipeline, optax.adam(learning_rate=1.0), wrt=nnx.Param)
    losses, thresholds = [], []
    print(f"Initial threshold: {float(pipeline.quality_filter.threshold[...]):.2f}")
    for step in range(steps):
        loss, gradients = nnx.value_and_grad(loss_of)(pipeline)
        optimizer.update(pipeline, gradients)
        losses.append(float(loss))
        thresholds.append(float(pipeline.quality_filter.threshold[...]))
        if step % 10 == 0:
            print(f"Step {step:3d}: loss = {losses[-1]:.4f}, threshold = {thresholds[-1]:.2f}")
    print(f"Final threshold: {thresholds[-1]:.2f}")
    print(f"Threshold changed: {thresholds[0]:.2f} -> {thresholds[-1]:.2f}")
    return losses, thresholds


def compare(strict: jax.Array, learned: jax.Array, quality: jax.Array) -> None:
    """Print what the strict and the learned threshold keep."""
    good, bad = quality > 30, quality < 15
    for name, kept in (("Initial (Q35)", strict), ("Learned (Q19)", learned)):
        high = float((kept * good).sum() / good.sum())
        low = float(1 - (kept * bad).sum() / bad.sum())
        print(f"{name}: {float(kept.mean()):.3f} mean retention, {high:.1%} of Q>30 kept, {low:.1%} of Q<15 filtered")


def draw_quality(quality: jax.Array, path: Path) -> None:
    """Heat map of qualities, and their mean along the read."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5))
    heat_map(left, quality, "Quality", "RdYlGn", 41)
    mean, spread = np.asarray(quality.mean(axis=0)), np.asarray(quality.std(axis=0))
    right.fill_between(np.arange(len(mean)), mean - spread, mean + spread, alpha=0.3)
    right.plot(mean)
    right.axhline(20, color="red", linestyle="--", label="Q20")
    right.set(xlabel="Position in read", ylabel="Mean quality", ylim=(0, 45))
    right.legend()
    save(figure, path)


def draw_sigmoid(path: Path, threshold: float = 20.0) -> None:
    """A hard cut-off beside the soft one."""
    quality = np.linspace(0, 40, 200)
    figure, axes = plt.subplots(figsize=(10, 5))
    axes.plot(quality, quality >= threshold, linestyle="--", color="gray", label="Hard threshold")
    axes.plot(quality, 1 / (1 + np.exp(threshold - quality)), label="Soft threshold")
    axes.set(xlabel="Quality (Phred)", ylabel="Retention")
    axes.legend()
    save(figure, path)


def draw_effect(reads: jax.Array, preprocessed: jax.Array, path: Path) -> None:
    """What is there of each base before and after, and what was taken."""
    before, after = reads.sum(axis=-1), preprocessed.sum(axis=-1)
    figure, axes = plt.subplots(1, 3, figsize=(15, 5))
    heat_map(axes[0], before, "Before", "Blues", 1)
    heat_map(axes[1], after, "After", "Blues", 1)
    heat_map(axes[2], before - after, "Taken", "Reds", 0.5)
    save(figure, path)


def draw_weights(weights: jax.Array, path: Path) -> None:
    """How read weights are distributed."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5))
    left.hist(np.asarray(weights), bins=20)
    left.set(xlabel="Read weight", ylabel="Reads")
    right.bar(range(len(weights)), np.sort(np.asarray(weights)))
    right.set(xlabel="Read, by weight", ylabel="Weight")
    save(figure, path)


def draw_training(losses: list[float], thresholds: list[float], path: Path) -> None:
    """Loss and threshold along training."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
    left.plot(losses)
    left.set(xlabel="Step", ylabel="Loss")
    right.plot(thresholds, color="darkorange")
    right.axhline(20, color="red", linestyle="--", label="Q20")
    right.set(xlabel="Step", ylabel="Threshold")
    right.legend()
    save(figure, path)


def draw_comparison(strict: jax.Array, learned: jax.Array, path: Path) -> None:
    """What the strict and the learned threshold keep, and what learning recovered."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 5))
    heat_map(axes[0], strict, f"Initial (Q35), mean {float(strict.mean()):.1%}", "Blues", 1)
    heat_map(axes[1], learned, f"Learned (Q19), mean {float(learned.mean()):.1%}", "Blues", 1)
    heat_map(axes[2], learned - strict, "Recovered", "Greens", 1)
    save(figure, path)


def heat_map(axes: plt.Axes, values: jax.Array, title: str, colours: str, highest: float) -> None:
    """One value per read and position."""
    image = axes.imshow(np.asarray(values), aspect="auto", cmap=colours, vmin=0, vmax=highest)
    axes.set(xlabel="Position in read", ylabel="Read", title=title)
    axes.figure.colorbar(image, ax=axes)


def save(figure: plt.Figure, path: Path) -> None:
    """Write a picture and forget it."""
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to write the pictures")
    main(parser.parse_args().folder)
