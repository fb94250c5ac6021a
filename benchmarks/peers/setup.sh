#!/usr/bin/env bash
# Makes one virtual environment per peer: benchmarks/peers/setup.sh DIR
#
# PYTHON names the interpreter, python3 by default. PyTriton needs one with a shared libpython.
set -euo pipefail

folder=${1:?usage: benchmarks/peers/setup.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)

for peer in mlserver kserve pytriton; do
  "${PYTHON:-python3}" -m venv "$folder/$peer"
  # A peer that cannot be installed is left out: the benchmark says that it was.
  "$folder/$peer/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$here/requirements/$peer.txt" \
    || { echo "$peer cannot be installed" >&2; rm -rf "${folder:?}/$peer"; }
done
