"""Where files can be made, and where not."""

from diffbio_flows.runs.places import check_folder, check_outputs


def test_outputs_must_be_new_files(tmp_path):
    taken = tmp_path / "a.vcf.gz"
    taken.write_text("")
    (tmp_path / "b.vcf.gz").mkdir()
    found = check_outputs(
        [taken, tmp_path / "b.vcf.gz", tmp_path / "c.vcf.gz", tmp_path / "c.vcf.gz"], [taken], force=True
    )
    assert [problem.what for problem in found] == [
        "is an input or another output of this run",
        "is a folder",
        "is an input or another output of this run",
    ]


def test_a_folder_that_cannot_be_written(public_folder, unprivileged):
    public_folder.chmod(0o555)
    with unprivileged():
        (problem,) = check_folder(public_folder, "calls.vcf.gz")
    assert problem.what == f"its folder {public_folder} cannot be written (Permission denied)"
    assert check_folder(public_folder / "file" / "x", "calls.vcf.gz")[0].what.endswith("does not exist")
    (public_folder / "file").touch()
    assert check_folder(public_folder / "file", "calls.vcf.gz")[0].what.endswith("is not a folder")
