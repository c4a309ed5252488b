#!/usr/bin/env bash
# The parser's tests and a short fuzz on a compiled core with the address and undefined-behaviour sanitizers (gcc, Linux),
# once as it is built and once without SSE2. `.ci/sanitize` runs the whole suite, from a clean install; this takes a minute
# or two and needs no network.
#
#   bash fuzz/sanitize.sh [SECONDS]      PYTHON=python3 WORK=a folder to build in and keep
#
# A read behind a bytes object is seen because PYTHONMALLOC=malloc gives each object a block of its own, with a guarded
# zone behind it.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
python=${PYTHON:-python3}
seconds=${1:-20}
work=${WORK:-$(mktemp -d)}
[ -n "${WORK:-}" ] || trap 'rm -rf "$work"' EXIT
tests=(tests/test_parser.py tests/test_agreement.py tests/test_torture.py tests/test_stream.py)
# Memory and cost are not what they are without the sanitizers, and have tests of their own elsewhere.
leave="not memory and not cost_grows and not holds_little and not keeps_no_bigger and not for_ever"

sanitized() { # NAME CFLAGS
    local tree=$work/$1/tree
    mkdir -p "$tree"
    tar -C "$repository" --exclude='*.so' --exclude='_parser.c' --exclude='_udp.c' --exclude='__pycache__' -cf - \
        setup.py pyproject.toml README.md LICENSE MANIFEST.in src tests fuzz | tar -xf - -C "$tree"
    if [ -d "$repository/../shared" ]; then ln -sfn "$(realpath "$repository/../shared")" "$work/$1/shared"; fi
    cd "$tree"
    export CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined $2"
    export LDFLAGS="-fsanitize=address,undefined" SIPSTACK_REQUIRE_EXTENSIONS=1 PYTHONPATH=$tree/src
    "$python" setup.py -q build_ext --inplace
    # Python itself is not built with ASan: its runtime has to be there first. What Python keeps until it exits is no leak.
    local preload
    preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
    local settings=(LD_PRELOAD="$preload" PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
        ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1)
    printf '\n=== %s: tests\n' "$1"
    env "${settings[@]}" "$python" -m pytest -q -s -p no:cacheprovider -k "$leave" "${tests[@]}"
    printf '\n=== %s: fuzz\n' "$1"
    env "${settings[@]}" "$python" fuzz/fuzz_agreement.py --seconds "$seconds"
}

(sanitized sse2 "")
(sanitized portable "-DSIPSTACK_NO_SIMD")
