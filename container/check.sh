#!/usr/bin/env bash
# check.sh PREFIX: calls a simulated sample with an installation, from an empty folder, and looks whether it found its variants.
set -euo pipefail
bin=$(cd "${1:?usage: check.sh PREFIX}/bin" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$bin/diffbio" simulate --output known --length 50000 --depth 30 --seed 1 >/dev/null 2>&1
"$bin/diffbio" call --reads known/reads.bam --reference known/reference.fa.gz --output calls.vcf.gz --workers 1 >/dev/null 2>&1
"$bin/diffbio" report calls.vcf.gz --truth known/truth.vcf.gz --confident known/confident.bed --json |
  "$bin/python" -c 'import json, sys; row = json.load(open(json.load(sys.stdin)["multiqc"]))["data"]; print(row); sys.exit(not all(r["f1"] > 0.9 for r in row.values()))'
