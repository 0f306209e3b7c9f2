"""gVCFs of several samples as one VCF, by bcftools' own merge, which pysam brings along."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pysam
import pysam.bcftools

from diffbio_core.whole_file import put_in_place
from diffbio_io.files.fresh_folder import fresh_folder


class JointError(RuntimeError):
    """What bcftools could not merge, in its own words."""


def merge_samples(
    output: str | os.PathLike[str],
    gvcfs: Sequence[str | os.PathLike[str]],
    reference: str | os.PathLike[str],
    *,
    aside: str | os.PathLike[str],
) -> Path:
    """Merges gVCFs to one VCF with the sites at which any sample differs from the reference, indexed.

    The same as ``bcftools merge --gvcf REF -m both | bcftools filter -S . -e FMT/GQ=0 | bcftools view
    --trim-unseen-allele --min-ac 1``: where a sample has a block of reference confidence, its genotype is the
    reference's, and missing where its GQ is 0 or nothing is known. Genotypes are those that each sample was called
    with.

    Args:
        output: VCF to write, named .vcf.gz; it appears when it is whole, after its index.
        gvcfs: Indexed gVCFs, one sample each, of different samples.
        reference: FASTA that they were made with.
        aside: Folder on the output's file system to make the files in; it is gone afterwards.

    Returns:
        Path of the index.

    Raises:
        JointError: They cannot be merged.
        OSError: The output cannot be written.
    """
    output = Path(output)
    with fresh_folder(Path(aside)) as folder:
        listed, merged, new = folder / "gvcfs.txt", folder / "merged.bcf", folder / output.name
        known = folder / "known.bcf"
        listed.write_text("".join(f"{os.path.abspath(path)}\n" for path in gvcfs))
        _run(
            pysam.bcftools.merge,  # type: ignore[attr-defined]
            *("--gvcf", os.path.abspath(reference), "--merge", "both", "--force-single", "--no-version"),
            *("--file-list", str(listed), "--output-type", "u", "--output", str(merged)),
        )
        _run(
            pysam.bcftools.filter,  # type: ignore[attr-defined]
            *("--set-GTs", ".", "--exclude", "FMT/GQ=0", "--no-version"),
            *("--output-type", "u", "--output", str(known), str(merged)),
        )
        _run(
            pysam.bcftools.view,  # type: ignore[attr-defined]
            *("--trim-unseen-allele", "--min-ac", "1", "--no-version"),
            *("--output-type", "z", "--output", str(new), str(known)),
        )
        index = output.with_name(f"{output.name}.csi")
        _run(pysam.bcftools.index, "--csi", "--output", f"{new}.csi", str(new))  # type: ignore[attr-defined]
        output.unlink(missing_ok=True)
        put_in_place(f"{new}.csi", index)
        put_in_place(new, output)
    return index


def _run(command: object, *arguments: str) -> None:
    try:
        command(*arguments, catch_stdout=False)  # type: ignore[operator]
    except pysam.SamtoolsError as error:
        raise JointError(" ".join(str(error).split())) from error
