import json
import subprocess
import sys


def test_importing_the_pipelines_brings_in_little_beyond_jax_flax_and_optax():
    code = (
        "import json, sys; import jax, optax; from flax import nnx; before = set(sys.modules);"
        "import diffbio_core.pipelines; "
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )

    added = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)

    assert set(added) - set(sys.stdlib_module_names) <= {
        "diffbio_core",
        "jaxtyping",
        "wadler_lindig",
        "typing_extensions",
    }
