#!/usr/bin/env bash
# Writes the Python stubs of every .proto file and their types beside it, or below the folder given.
#
# The proto path is the package path, so the generated imports need no repair. Stubs name the versions that made
# them as the oldest that may run them: grpcio-tools is pinned in pyproject.toml, and raising it there raises the
# grpcio and protobuf that every client needs.
set -euo pipefail
cd "$(dirname "$0")"
out=$(realpath "${1:-.}")
scripts=$(python -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') # google/rpc/status.proto
PATH="$scripts:$PATH" python -m grpc_tools.protoc --proto_path=. --proto_path="$packages" \
    --python_out="$out" --grpc_python_out="$out" \
    --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" \
    boxmask/*/*.proto
