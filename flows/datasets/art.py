"""Training sets from ART's error profiles and bwa, beside those of the project's own simulator.

    python -m diffbio_flows.datasets.art --reference grch38.fa.gz --output training [--profile hs25_150]...

Each profile gets fresh variants on its own slices of the reference, reads that ART draws from the two haplotypes, and
bwa's alignment of them to the whole reference. Another ``--seed`` draws other slices and variants, into folders of
their own. Needs Debian's art-nextgen-simulation-tools, bwa and samtools.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from diffbio_core.simulation.genome import draw_slices
from diffbio_core.simulation.sequence import encode_bases
from diffbio_core.simulation.variants import VariantModel, apply_variants, draw_variants
from diffbio_io.simulation.dataset import confident_intervals, write_bed, write_fasta, write_truth

TOOLS = {"art_illumina": "art-nextgen-simulation-tools", "bwa": "bwa", "samtools": "samtools"}


@dataclass(frozen=True)
class Profile:
    """A sequencing run: ART's system, read length (bp), depth, fragment length (bp), and the share of the genome."""

    system: str
    read_length: int
    depth: float
    fragment: int
    deviation: int
    megabases: float
    indel_error: float = 1e-4


PROFILES = {
    "hs25_150_30x": Profile("HS25", 150, 30, 380, 90, 2.4),
    "hs20_100_48x": Profile("HS20", 100, 48, 300, 70, 2.0),
    "hs20_100_20x": Profile("HS20", 100, 20, 300, 70, 3.2),
    "hsxt_150_25x": Profile("HSXt", 150, 25, 400, 100, 2.4),
    "msv3_250_20x": Profile("MSv3", 250, 20, 450, 110, 2.4),
    "hs25_125_60x": Profile("HS25", 125, 60, 340, 80, 1.6),
    "hsxn_150_40x": Profile("HSXn", 150, 40, 420, 100, 2.0),
    "hs25_150_15x": Profile("HS25", 150, 15, 360, 80, 3.2),
}


def main() -> None:
    """Simulate every profile that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="bgzipped FASTA")
    parser.add_argument("--output", type=Path, required=True, help="folder; a folder per profile is made in it")
    parser.add_argument("--profile", choices=PROFILES, action="append", help="only these; all by default")
    parser.add_argument("--rate", type=float, default=1.5, help="variants, as multiple of a human's")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        sys.exit(f"missing tools; on Debian: apt-get install {' '.join(missing)}")
    options.output.mkdir(parents=True, exist_ok=True)
    index = options.output / "bwa" / "reference.fa"
    if not index.with_suffix(".fa.sa").exists():
        build_index(options.reference, index)
    for name in options.profile or PROFILES:
        simulate(name, options, index)


def build_index(reference: Path, index: Path) -> None:
    """Index the whole reference for bwa."""
    index.parent.mkdir(exist_ok=True)
    with pysam.FastaFile(str(reference)) as fasta:
        write_fasta(index, {contig: encode_bases(fasta.fetch(contig)) for contig in fasta.references})
    subprocess.run(["bwa", "index", str(index)], check=True, stderr=subprocess.DEVNULL)


def simulate(name: str, options: argparse.Namespace, index: Path) -> None:
    """Make one profile's folder: reads.bam, reference.fa.gz, truth.vcf.gz, confident.bed and their indexes."""
    profile, seed = PROFILES[name], options.seed + 100 * list(PROFILES).index(name)
    rng = np.random.default_rng(seed)
    folder = options.output / f"art_{name}_seed{options.seed}"
    folder.mkdir(exist_ok=True)
    with pysam.FastaFile(str(options.reference)) as fasta:
        contigs = {contig: encode_bases(fasta.fetch(contig)) for contig in fasta.references}
    for suffix in ("", ".fai", ".gzi"):
        shutil.copyfile(f"{options.reference}{suffix}", folder / f"reference.fa.gz{suffix}")
    slices = draw_slices(contigs, round(profile.megabases * 1e6), rng)
    truth: dict[str, list] = {contig: [] for contig in contigs}
    haplotypes: list[dict[str, np.ndarray]] = [{}, {}]
    model = VariantModel().scaled(options.rate)
    for contig, start, stop in slices:
        variants = draw_variants(contigs[contig], model, rng, (start, stop))
        truth[contig] += variants
        for copy in (0, 1):
            sequence = apply_variants(contigs[contig], variants, copy, (start, stop))
            haplotypes[copy][f"{contig}_{start}_{copy}"] = sequence
    write_truth(folder / "truth.vcf.gz", truth, {contig: len(codes) for contig, codes in contigs.items()})
    wanted = {name: tuple((start, stop) for contig, start, stop in slices if contig == name) for name in contigs}
    write_bed(folder / "confident.bed", confident_intervals(contigs, wanted))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        mates = draw_reads(profile, haplotypes, seed, Path(scratch))
        align(mates, index, folder / "reads.bam", name)
    print(f"{name}: {sum(map(len, truth.values()))} variants on {len(slices)} slices", flush=True)


def draw_reads(profile: Profile, haplotypes: list[dict[str, np.ndarray]], seed: int, scratch: Path) -> list[Path]:
    """Let ART draw half of the depth from each haplotype; returns the FASTQ of both mates."""
    for copy, sequences in enumerate(haplotypes):
        write_fasta(scratch / f"{copy}.fa", sequences)
        command = ["art_illumina", "-q", "-na", "-p", "-ss", profile.system, "-l", str(profile.read_length)]
        command += ["-f", str(profile.depth / 2), "-m", str(profile.fragment), "-s", str(profile.deviation)]
        for option in ("-ir", "-ir2", "-dr", "-dr2"):
            command += [option, str(profile.indel_error)]
        command += ["-rs", str(seed + copy), "-i", str(scratch / f"{copy}.fa"), "-o", str(scratch / f"{copy}_")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    mates = [scratch / "mate1.fq", scratch / "mate2.fq"]
    for number, mate in enumerate(mates, 1):
        with open(mate, "wb") as joined:
            for copy in (0, 1):
                with open(scratch / f"{copy}_{number}.fq", "rb") as part:
                    shutil.copyfileobj(part, joined)
    return mates


def align(mates: list[Path], index: Path, bam: Path, sample: str) -> None:
    """Align pairs with bwa; a sorted, indexed BAM."""
    group = f"@RG\\tID:{sample}\\tSM:{sample}\\tPL:ILLUMINA"
    bwa = subprocess.Popen(["bwa", "mem", "-v", "1", "-R", group, str(index), *map(str, mates)], stdout=subprocess.PIPE)
    subprocess.run(["samtools", "sort", "-m", "512M", "-o", str(bam), "-"], stdin=bwa.stdout, check=True)
    if bwa.wait() != 0:
        raise RuntimeError(f"bwa mem failed with exit status {bwa.returncode} on {mates[0]}")
    pysam.index(str(bam))


if __name__ == "__main__":
    main()
