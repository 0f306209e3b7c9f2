"""What SLURM is asked for."""

from __future__ import annotations

import pytest

from diffbio_cluster import ClusterConfig, ClusterConfigError
from diffbio_cluster.config import SlurmJobs
from diffbio_cluster.executors.slurm import job_options


def options(memory_mb=1000, environment=None, **jobs):
    return job_options(
        ClusterConfig(kind="slurm", memory_mb=memory_mb, environment=environment or {}, slurm=SlurmJobs(**jobs))
    )


def test_a_job_of_several_cores_has_a_worker_and_its_memory_for_each():
    found = options(cores=4, partition="long", walltime="02:00:00")
    assert (found["cores"], found["processes"], found["memory"]) == (4, 4, "4000MB")
    assert (found["queue"], found["walltime"]) == ("long", "02:00:00")


def test_a_job_with_a_gpu_has_one_worker_that_tells_dask_of_it():
    found = options(cores=8, gpus=1, options=["--constraint=a100"])
    assert (found["processes"], found["memory"]) == (1, "1000MB")
    assert found["worker_extra_args"] == ["--resources", "GPU=1", "--nthreads", "4"]
    assert found["job_extra_directives"] == ["--constraint=a100", "--gpus-per-node=1"]


def test_a_job_with_several_gpus_is_refused():
    with pytest.raises(ClusterConfigError, match=r"slurm\.gpus must be 0 or 1, got 2"):
        options(gpus=2)


def test_variables_are_set_before_the_worker_starts_whatever_they_hold():
    found = options(environment={"GREETING": "it's a $HOME"}, prologue=["module load x"])
    assert found["job_script_prologue"][0] == "module load x"
    assert "export GREETING='it'\\''s a $HOME'" in found["job_script_prologue"]
    assert "export OMP_NUM_THREADS='1'" in found["job_script_prologue"]
