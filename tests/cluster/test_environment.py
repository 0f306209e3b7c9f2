"""What a worker finds in its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from diffbio_cluster.environment import compile_cache_environment, gpu_worker_environment, worker_environment


def test_a_worker_keeps_the_user_s_flags_and_cache(tmp_path):
    mine = {"XLA_FLAGS": "--xla_dump_to=d", "JAX_COMPILATION_CACHE_DIR": "/c", "XDG_CACHE_HOME": str(tmp_path)}
    environment = worker_environment(mine)
    assert (
        environment["XLA_FLAGS"]
        == "--xla_dump_to=d --xla_cpu_multi_thread_eigen=false --xla_gpu_deterministic_ops=true"
    )
    assert environment["JAX_COMPILATION_CACHE_DIR"] == "/c"
    assert list(tmp_path.iterdir()) == []
    del mine["JAX_COMPILATION_CACHE_DIR"]
    assert worker_environment(mine)["JAX_COMPILATION_CACHE_DIR"] == f"{tmp_path}/diffbio/jax"


def test_flags_about_threads_that_the_user_has_set_stay():
    mine = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=true"}
    assert worker_environment(mine)["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=true --xla_gpu_deterministic_ops=true"


def test_a_worker_has_one_thread_in_every_library_and_no_accelerator():
    environment = worker_environment({"OMP_NUM_THREADS": "8", "NPROC": "8"})
    threads = "NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"
    assert {environment[name] for name in threads} == {"1"}
    assert environment["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=false --xla_gpu_deterministic_ops=true"
    assert environment["JAX_PLATFORMS"] == "cpu"
    assert worker_environment({"JAX_PLATFORMS": "cuda,cpu"})["JAX_PLATFORMS"] == "cuda,cpu"


def test_every_program_is_kept_in_the_user_s_cache():
    environment = compile_cache_environment({"XDG_CACHE_HOME": ""})
    assert environment == {
        "JAX_COMPILATION_CACHE_DIR": str(Path.home() / ".cache" / "diffbio" / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    assert environment.items() <= worker_environment({"XDG_CACHE_HOME": ""}).items()
    slow = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "5"}
    assert compile_cache_environment(slow)["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "5"


def test_without_a_home_programs_are_kept_in_the_temporary_folder_and_without_that_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "file").touch()
    nowhere = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    folder = tmp_path / f"diffbio-{os.geteuid()}"
    assert compile_cache_environment(nowhere)["JAX_COMPILATION_CACHE_DIR"] == str(folder / "jax")
    (folder / "jax").rmdir()
    folder.rmdir()
    folder.touch()
    assert compile_cache_environment(nowhere) == {}


def test_what_came_too_late_for_jax_is_told_and_the_cache_is_set_all_the_same(tmp_path):
    script = """
import os, jax
from diffbio_cluster.environment import complete_environment, gpu_worker_environment
print(complete_environment(2), complete_environment(2), os.environ["NPROC"], jax.config.jax_compilation_cache_dir)
print(jax.config.jax_persistent_cache_min_compile_time_secs, jax.config.jax_persistent_cache_min_entry_size_bytes)
"""
    unset = ("XLA_FLAGS", "NPROC", "JAX_COMPILATION_CACHE_DIR")
    kept = {name: value for name, value in os.environ.items() if name not in unset and "PERSISTENT" not in name}
    environment = kept | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"['NPROC', 'XLA_FLAGS'] [] 2 {tmp_path}/diffbio/jax", "0.0 -1"]


def test_a_gpu_worker_sees_the_device_that_it_was_given_and_leaves_memory_to_others():
    environment = gpu_worker_environment("3", 4, {})
    wanted = {
        "CUDA_VISIBLE_DEVICES": "3",
        "JAX_PLATFORMS": "cuda",
        "NPROC": "4",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    assert {name: environment[name] for name in wanted} == wanted
    assert "--xla_gpu_deterministic_ops=true" in environment["XLA_FLAGS"]
    assert "CUDA_VISIBLE_DEVICES" not in gpu_worker_environment(None, 4, {})
