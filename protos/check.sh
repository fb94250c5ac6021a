#!/usr/bin/env bash
# Fails if a .proto file breaks buf's rules, or if the committed stubs are not what it generates. Needs no network:
# buf is given the compiled files with their imports, instead of a module registry to fetch them from.
set -euo pipefail
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
scripts=$(python -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') # google/rpc/status.proto
python -m grpc_tools.protoc --proto_path=. --proto_path="$packages" --include_imports --include_source_info \
    --descriptor_set_out="$scratch/image.binpb" boxmask/*/*.proto
"$scripts/buf" lint "$scratch/image.binpb" --config buf.yaml
mkdir "$scratch/stubs"
./generate.sh "$scratch/stubs"
(cd "$scratch/stubs" && find . -name '*_pb2*') | while read -r stub; do
    diff -u "$stub" "$scratch/stubs/$stub" || {
        echo "protos/$stub is out of date: run 'make protos'" >&2
        exit 1
    }
done
