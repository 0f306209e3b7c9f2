"""Speed of every operator and pipeline, forward and backward, beside the public library that the documents describe.

Run it with `python benchmarks/operators.py [--large] [--only NAME ...] [--repeats N] [--public PYTHON]`. Times are
medians of warm, compiled calls (the minimum in brackets), in milliseconds; throughput is in million bases of reads per
second of the median. With `--public`, an interpreter in which `diffbio` of the package index is installed, the cases
that both have are run there too, in turn with ours; else what it took on two idle cores is shown. `--large` adds 100
times the reads over 100 times the reference.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from timed_cases import READ_LENGTH, Run, Timed, applied, mapper_inputs, simulated_reads

from diffbio_core.operators import DifferentiableQualityFilter, QualityFilterConfig
from diffbio_core.operators.mapping import NeuralReadMapper, NeuralReadMapperConfig
from diffbio_core.operators.preprocessing import (
    AdapterRemovalConfig,
    DifferentiableDuplicateWeighting,
    DuplicateWeightingConfig,
    ErrorCorrectionConfig,
    SoftAdapterRemoval,
    SoftErrorCorrection,
)
from diffbio_core.operators.variant import (
    DifferentiablePileup,
    PileupConfig,
    SoftVariantQualityFilter,
    VariantClassifier,
    VariantClassifierConfig,
    VariantQualityFilterConfig,
)
from diffbio_core.pipelines import (
    create_cnn_variant_pipeline,
    create_preprocessing_pipeline,
    create_variant_calling_pipeline,
)

SIZES = [(300, 1_000), (3_000, 10_000)]
LARGE = 100

PUBLIC_MS = {
    ("pileup", 3_000, "forward"): 2.4,
    ("variant calling", 3_000, "forward"): 3.8,
    ("variant calling", 3_000, "gradient"): 9.8,
    ("preprocessing", 500, "forward"): 10.9,
    ("mapper", 32, "forward"): 207.0,
}
COMPARED = {(name, num_reads) for name, num_reads, _ in PUBLIC_MS}
ROUNDS = 3
PREPROCESSED = applied("preprocessed_reads")


@dataclass(frozen=True)
class Case:
    """One operator at one size: `run(operator, data)` gives an array to sum."""

    name: str
    num_reads: int
    reference_length: int
    operator: nnx.Module
    data: dict[str, jax.Array]
    run: Run
    num_bases: int


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="add 100 times the size (needs 8 GB)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="operators to run")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--public", metavar="PYTHON", help="interpreter that has the public library")
    arguments = parser.parse_args()
    public = PublicLibrary(arguments.public) if arguments.public else None

    sizes = SIZES + [(LARGE * reads, LARGE * length) for reads, length in SIZES] * arguments.large
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}; import: {import_ratio():.2f} x jax, flax and optax")
    print(
        f"{'operator':<22}{'reads':>8}{'bp':>9}  {'':<9}{'ms':>9}  {'(min)':>9}"
        f"{'Mbase/s':>9}{'public ms':>11}{'times':>7}"
    )
    for case in cases(sizes):
        if arguments.only and case.name not in arguments.only:
            continue
        for direction in ("forward", "gradient"):
            ours = Timed(case.operator, case.data, case.run, direction)
            if public is None or (case.name, case.num_reads) not in COMPARED:
                known = PUBLIC_MS.get((case.name, case.num_reads, direction))
                print_line(case, direction, ours.measure(arguments.repeats), known)
                continue
            times: list[float] = []
            theirs: list[float] = []
            for _ in range(ROUNDS):
                times += ours.measure(arguments.repeats)
                theirs += public.measure(case.name, direction, arguments.repeats)
            print_line(case, direction, times, float(np.median(theirs)))


class PublicLibrary:
    """A process of another interpreter, which runs what `public_library.py` knows."""

    def __init__(self, python: str):
        script = Path(__file__).with_name("public_library.py")
        self._process = subprocess.Popen([python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(self, name: str, direction: str, repeats: int) -> list[float]:
        """Milliseconds of each call.

        Raises:
            RuntimeError: The other process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}\t{direction}\t{repeats}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the public library's process ended before it had run {name}, {direction}: see above")
        return json.loads(answer)


def cases(sizes: list[tuple[int, int]]) -> Iterator[Case]:
    """Every operator at every size, and the sizes that the public library was measured at."""
    for num_reads, length in sizes:
        yield from cases_of_reads(num_reads, length)
    reads = simulated_reads(500, 1_000)
    yield Case("preprocessing", 500, 0, create_preprocessing_pipeline(READ_LENGTH), reads, PREPROCESSED, 50_000)
    yield mapper_case()


def cases_of_reads(num_reads: int, length: int) -> Iterator[Case]:
    """What takes reads over a reference."""
    data = simulated_reads(num_reads, length)
    rngs = nnx.Rngs(0)
    case = functools.partial(Case, num_reads=num_reads, reference_length=length, num_bases=num_reads * READ_LENGTH)

    yield case(
        "quality filter",
        operator=DifferentiableQualityFilter(QualityFilterConfig()),
        data=data,
        run=lambda operator, data: data["reads"] * operator.retention(data["quality"])[..., None],
    )
    yield case(
        "adapter removal",
        operator=SoftAdapterRemoval(AdapterRemovalConfig()),
        data=data,
        run=lambda operator, data: operator.trim(data["reads"])[0],
    )
    yield case(
        "duplicate weighting",
        operator=DifferentiableDuplicateWeighting(DuplicateWeightingConfig()),
        data=data,
        run=lambda operator, data: operator.weigh(data["reads"], data["quality"])[0],
    )
    yield case(
        "error correction",
        operator=SoftErrorCorrection(ErrorCorrectionConfig(), rngs=rngs),
        data=data,
        run=lambda operator, data: operator.correct(data["reads"], data["quality"])[0],
    )
    yield case(
        "pileup",
        operator=DifferentiablePileup(PileupConfig(reference_length=length, learnable_temperature=True)),
        data=data,
        run=applied("pileup"),
    )
    columns = {"pileup": jax.nn.softmax(jax.random.normal(jax.random.key(1), (length, 4)))}
    yield case(
        "classifier",
        operator=VariantClassifier(VariantClassifierConfig(input_window=11), rngs=rngs),
        data=columns,
        run=lambda operator, data: operator.classify_columns(data["pileup"]),
    )
    yield case(
        "recalibration",
        operator=SoftVariantQualityFilter(VariantQualityFilterConfig(), rngs=rngs),
        data={"variant_features": columns["pileup"]},
        run=applied("filter_weights"),
    )
    yield case(
        "variant calling", operator=create_variant_calling_pipeline(length), data=data, run=applied("probabilities")
    )
    if length <= SIZES[-1][1]:
        yield case(
            "with read images", operator=create_cnn_variant_pipeline(length), data=data, run=applied("probabilities")
        )
    yield case("preprocessing", operator=create_preprocessing_pipeline(READ_LENGTH), data=data, run=PREPROCESSED)


def mapper_case() -> Case:
    """The mapper at the size that the public library was measured at."""
    mapper = NeuralReadMapper(NeuralReadMapperConfig(), rngs=nnx.Rngs(0))
    return Case("mapper", 32, 500, mapper, mapper_inputs(), applied("position_probs"), 32 * 150)


def print_line(case: Case, direction: str, times: list[float], public: float | None) -> None:
    """One line of the table."""
    median = float(np.median(times))
    compared = f"{public:>11.1f}{public / median:>7.1f}" if public else ""
    print(
        f"{case.name:<22}{case.num_reads:>8}{case.reference_length:>9}  {direction:<9}{median:>9.2f}  "
        f"({min(times):>7.2f}){case.num_bases / 1e3 / median:>9.1f}{compared}",
        flush=True,
    )


def import_ratio(repeats: int = 5) -> float:
    """How long importing the pipelines takes, against importing jax, flax.nnx and optax alone."""

    def seconds(statement: str) -> float:
        code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
        runs = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(repeats))
        return min(float(run.stdout) for run in runs)

    return seconds("import diffbio_core.pipelines") / seconds("import jax, optax; from flax import nnx")


if __name__ == "__main__":
    main()
