#!/usr/bin/env bash
# install.sh PREFIX [EXTRAS]: diffbio in a virtual environment of its own, with the versions of constraints.txt. The
# Dockerfile's only step, which CI takes, too.
set -euo pipefail
prefix=${1:?usage: install.sh PREFIX [EXTRAS, such as expression,gpu]}
extras=${2:+[$2]}
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check -c constraints.txt ".$extras"
"$prefix/bin/diffbio" --version
