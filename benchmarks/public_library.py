"""The public library's side of `operators.py --public`: runs under the interpreter that has it installed.

Each line of standard input, `name<tab>direction<tab>repeats`, is answered by one line of JSON, the milliseconds of each
call.
"""

from __future__ import annotations

import functools
import json
import sys

from diffbio.operators.mapping import NeuralReadMapper, NeuralReadMapperConfig
from diffbio.operators.variant.pileup import DifferentiablePileup, PileupConfig
from diffbio.pipelines.preprocessing import create_preprocessing_pipeline
from diffbio.pipelines.variant_calling import create_variant_calling_pipeline
from flax import nnx
from timed_cases import READ_LENGTH, Timed, applied, mapper_inputs, simulated_reads


def main() -> None:
    """Answer until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        name, direction, repeats = line.rstrip("\n").split("\t")
        print(json.dumps(timed(name, direction).measure(int(repeats))), file=answers, flush=True)


@functools.cache
def timed(name: str, direction: str) -> Timed:
    """One case, compiled, at the size that `operators.py` compares."""
    operator, data, output = {
        "pileup": lambda: (
            DifferentiablePileup(PileupConfig(reference_length=10_000, learnable_temperature=True), rngs=nnx.Rngs(0)),
            simulated_reads(3_000, 10_000),
            "pileup",
        ),
        "variant calling": lambda: (
            create_variant_calling_pipeline(reference_length=10_000),
            simulated_reads(3_000, 10_000),
            "probabilities",
        ),
        "preprocessing": lambda: (
            create_preprocessing_pipeline(read_length=READ_LENGTH),
            simulated_reads(500, 1_000),
            "preprocessed_reads",
        ),
        "mapper": lambda: (
            NeuralReadMapper(NeuralReadMapperConfig(), rngs=nnx.Rngs(0)),
            mapper_inputs(),
            "position_probs",
        ),
    }[name]()
    # Without dropout, as here.
    for mode in ("eval", "eval_mode"):
        getattr(operator, mode, lambda: None)()
    return Timed(operator, data, applied(output), direction)


if __name__ == "__main__":
    main()
