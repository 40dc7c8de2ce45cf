#!/usr/bin/env bash
# Builds the C++ host with both engines, from nothing: what is missing is fetched first.
# Half of the library is compiled as one file, which takes less time than single files do. ccache is
# used if it is installed.
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
launcher=()
if command -v ccache >/dev/null; then
    # Paths relative to the checkout, so that another checkout finds the same results.
    checkout=$(cd "$sources/../.." && pwd)
    launcher=("-DCMAKE_CXX_COMPILER_LAUNCHER=env;CCACHE_BASEDIR=$checkout;CCACHE_NOHASHDIR=1;ccache")
fi
cmake -S "$sources" -B "$folder" --log-level=WARNING \
    -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=36 \
    -DONNXRUNTIME_ROOT="${ONNXRUNTIME_ROOT:-$engines/onnxruntime}" \
    -DOpenVINO_DIR="$("$sources/fetch" --openvino "$python")" ${launcher[@]+"${launcher[@]}"} "$@"
cmake --build "$folder" --parallel "$(nproc)"
