#!/usr/bin/env bash
# Builds the C++ host with both engines, from nothing: what is missing is fetched first.
# Sixteen files are compiled as one, which takes two thirds of the time.
#
#   build.sh FOLDER PYTHON [CMAKE OPTION]...
#
# FOLDER takes sdrt-host and libsdrt.so, FOLDER/../engines what they are built with.
set -euo pipefail
sources=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd) python=$2
shift 2
engines=$(dirname "$folder")/engines
"$sources/fetch" "$engines" "$python"
cmake -S "$sources" -B "$folder" --log-level=WARNING \
    -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=16 \
    -DONNXRUNTIME_ROOT="${ONNXRUNTIME_ROOT:-$engines/onnxruntime}" \
    -DOpenVINO_DIR="$("$sources/fetch" --openvino "$python")" "$@"
cmake --build "$folder" --parallel "$(nproc)"
