#!/usr/bin/env bash
# The plain C rooms alone (fuzz_core.c), then the parser's tests and a short fuzz on a compiled core, with the address and
# undefined-behaviour sanitizers (gcc, Linux), once as it is built and once without SSE2. `.ci/sanitize` runs the whole suite,
# from a clean install; this takes a few minutes and needs no network.
#
#   bash fuzz/sanitize.sh [SECONDS]             PYTHON=python3 WORK=a folder to build in and keep
#   bash fuzz/sanitize.sh --core [SECONDS]      only the plain C rooms: no Python is needed
#
# A read behind a bytes object is seen because PYTHONMALLOC=malloc gives each object a block of its own, with a guarded
# zone behind it.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
python=${PYTHON:-python3}
only=all
if [ "${1:-}" = --core ]; then
    only=core
    shift
fi
seconds=${1:-20}
work=${WORK:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${WORK:-}" ] || trap 'rm -rf "$work"' EXIT
tests=(tests/test_parser.py tests/test_agreement.py tests/test_torture.py tests/test_stream.py)
# Memory and cost are not what they are without the sanitizers, and have tests of their own elsewhere.
leave="not memory and not cost_grows and not holds_little and not keeps_no_bigger and not for_ever"

sanitizers="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"

core() { # NAME CFLAGS; prints what it does, and the digest of a run that every build has to do with the same results
    local program=$work/fuzz_core_$1
    printf '\n=== %s: the plain C rooms\n' "$1" >&2
    # shellcheck disable=SC2086  # these are several words
    gcc -std=c99 -Wall -Wextra $sanitizers $2 -Isrc/sipstack -o "$program" fuzz/fuzz_core.c
    "$program" -s "$seconds" -o "$work/found" "${messages[@]}" >&2 || die "$1"
    "$program" -r 1 -n 20000 -o "$work/found" "${messages[@]}" | sed -n 's/.*digest //p' || die "$1"
}

die() { # NAME; the input is shown: the folder may be gone with the run
    if [ -e "$work/found" ]; then base64 "$work/found" >&2; fi
    printf 'fuzz/sanitize.sh: %s\n' "$1" >&2
    exit 1
}

sanitized() { # NAME CFLAGS
    local tree=$work/$1/tree
    mkdir -p "$tree"
    tar -C "$repository" --exclude='*.so' --exclude='_*.c' --exclude='_docs.h' --exclude='__pycache__' -cf - \
        setup.py pyproject.toml README.md LICENSE MANIFEST.in src tests fuzz | tar -xf - -C "$tree"
    if [ -d "$repository/../shared" ]; then ln -sfn "$(realpath "$repository/../shared")" "$work/$1/shared"; fi
    cd "$tree"
    export CFLAGS="$sanitizers $2"
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

messages=(tests/torture/*.sip)
if [ -d ../shared/corpus ]; then
    mapfile -d '' -O "${#messages[@]}" messages < <(find ../shared/corpus/ -type f ! -name '.*' ! -name '*.tsv' -print0)
fi
sse2=$(core sse2 "")
portable=$(core portable "-DSIPSTACK_NO_SIMD")
[ -n "$sse2" ] && [ "$sse2" = "$portable" ] || die "with and without SSE2 the results differ: $sse2, $portable"
[ "$only" = all ] || exit 0
(sanitized sse2 "")
(sanitized portable "-DSIPSTACK_NO_SIMD")
