"""The command's surface: help, usage errors, and the short subcommands."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from diffbio_core.models import default_model_path, load_card


def test_help_names_every_command(diffbio):
    done = diffbio("--help")
    assert done.returncode == 0
    for command in ("call", "evaluate", "ingest", "model", "perturb", "simulate"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cal"], "No such command 'cal'"),
        (["call", "--reads", "r.bam", "--output", "o.vcf.gz"], "Missing option '--reference'"),
        (
            ["call", "--reads", "r", "--reference", "f", "--output", "o.vcf.gz", "--window-length", "3000"],
            "window-length",
        ),
        (["call", "--reads", "r", "--reference", "f", "--output", "o.vcf.gz", "--workers", "0"], "workers"),
        (["simulate", "--output", "d", "--length", "-1"], "at least 1,000 bp"),
        (["simulate", "--output", "d", "--depth", "nan"], "depth must be a number of 0 or more, got nan"),
        (["simulate", "--output", "d", "--seed", "-1"], "'--seed': -1 is not in the range"),
        (["simulate", "--output", "/dev/null/d"], "/dev/null is not a folder"),
        (["ingest", "--reads", "r", "--reference", "f", "--store", ""], "--store: "),
        (["model", "show", "absent"], "absent is not a model"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_a_line_that_says_why(diffbio_here, tmp_path, arguments, told):
    done = diffbio_here(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_card_of_the_shipped_model_is_shown_to_people_and_scripts(diffbio_here):
    card = load_card(default_model_path())
    assert json.loads(diffbio_here("model", "show", "--json").stdout) == card
    assert f"parameters_sha256: {card['parameters_sha256']}" in diffbio_here("model", "show").stdout


def test_a_simulated_truth_agrees_with_itself(individual, diffbio_here):
    files = ["--truth", individual.truth, "--calls", individual.truth, "--reference", individual.reference]
    done = diffbio_here("evaluate", *files, "--json", "-")
    assert done.returncode == 0
    overall = json.loads(done.stdout)["overall"]
    assert overall["METRIC.F1_Score"] == 1.0
    assert overall["TRUTH.TOTAL"] == overall["TRUTH.TP"] > 100


def test_the_same_seed_simulates_the_same_reads(diffbio_here, tmp_path):
    for name in ("one", "two"):
        done = diffbio_here(
            "simulate", "--output", tmp_path / name, "--length", "3000", "--depth", "4", "--seed", "8", "--json"
        )
        assert json.loads(done.stdout)["reads"] == str(tmp_path / name / "reads.bam")
        assert {"diffbio: drawing variants", "diffbio: sequencing and aligning"} <= set(done.stderr.splitlines())
    assert (tmp_path / "one" / "reads.bam").read_bytes() == (tmp_path / "two" / "reads.bam").read_bytes()


def test_a_plain_run_loads_neither_prefect_nor_jax_in_the_process_that_leads_it():
    script = (
        "import sys, diffbio_flows.command.main, diffbio_flows.runs.call, diffbio_flows.command.exit_status\n"
        "print([name for name in ('prefect', 'jax', 'flax') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
