#!/bin/sh
# Everything that CI runs: installs what is missing, builds, checks the form, runs the
# unit tests and the integration tests, and both again under the sanitizers, analyses the
# sources, and runs each fuzz target for some seconds. Quiet when all is well; a failing
# test's whole output is shown. The last line counts the tests.
#
#   scripts/test.sh [lint|unit|integration|crashpoints|storm|asan|analyze|fuzz-smoke]...
#                           (default: all)
#
# shellcheck disable=SC2317 # most functions are run by stage()
set -u
cd "$(dirname "$0")/.." || exit 1

UNIT_LIMIT=120         # seconds for one unit test program, or for the scripts' tests
INTEGRATION_LIMIT=600  # seconds for all integration tests, once
SANITIZER_LIMIT=800    # the same under the sanitizers
CRASH_LIMIT=240        # seconds for the crash points, short form
STORM_LIMIT=300        # seconds for the short storms
FUZZ_SECONDS=5         # for each fuzz target, as many side by side as there are cores
# These run no program of ours, or ask one for its help only: once is enough.
UNSANITIZED='test_gitlab_fake|test_install|test_alert|test_testenv|test_zendesk_fake|test_zendesk_setup'

passed=0
failed=0
skipped=0
bad_stages=

work=$(mktemp -d) || exit 1
trap 'forsake; rm -rf "$work"' EXIT
lots= # processes that run tests
# shellcheck disable=SC2086 # a list
trap '[ -z "$lots" ] || kill $lots; exit 130' INT TERM HUP

jobs=$(nproc 2>/dev/null || echo 2)

# stage NAME COMMAND...: runs it, says how long it took, remembers if it failed.
stage() {
    name=$1
    shift
    begin=$(date +%s)
    note=
    if "$@"; then
        verdict=ok
    else
        verdict=FAILED
        bad_stages="$bad_stages $name"
    fi
    printf '%-18s %-7s %4d s  %s\n' "$name" "$verdict" $(($(date +%s) - begin)) "$note"
    [ $verdict = ok ]
}

idle='nice -n 19'
! chrt -i 0 true 2>/dev/null || idle='chrt -i 0'

# ahead NAME COMMAND...: begins to build, with what the tests leave of the processors.
# What fails there fails again, aloud, in its own stage.
ahead() {
    name=$1
    shift
    # shellcheck disable=SC2086 # its words
    setsid $idle "$@" >/dev/null 2>&1 </dev/null &
    eval "ahead_$name=$!"
}

# ready NAME: waits for the end of that.
ready() {
    eval "pid=\${ahead_$1-} ahead_$1="
    [ -z "$pid" ] || wait "$pid" || true
}

forsake() {
    for name in crash asan analyze fuzz; do
        eval "pid=\${ahead_$name-}"
        [ -z "$pid" ] || kill -- "-$pid"
    done
}

# Runs a command; its output is shown only if it fails.
quietly() {
    "$@" >"$work/log" 2>&1 </dev/null && return 0
    rc=$?
    cat "$work/log"
    return "$rc"
}

finish() {
    rest=
    [ $skipped = 0 ] || rest=", $skipped skipped"
    [ -z "$bad_stages" ] || echo "failed stages:$bad_stages"
    echo "$passed passed, $failed failed$rest"
    [ -z "$bad_stages" ] && [ $failed = 0 ]
    exit
}

# Adds N of each kind to the totals and to the stage's note.
count() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
    note="$1 passed, $2 failed"
    [ "$3" = 0 ] || note="$note, $3 skipped"
    [ "$2" = 0 ]
}

# Sum of the numbers in cmocka's closing lines of one kind.
cmocka_sum() {
    sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'
}

# unit BUILD: each test program by itself, so that a crash or a hang costs only it.
unit() {
    ok=0 bad=0 skip=0
    for test in "$1"/unit/test_*; do
        # Not test_x.d, and nothing left over from another revision.
        [ -f "tests/unit/${test##*/}.c" ] || continue
        timeout --foreground -k 5 "$UNIT_LIMIT" "$test" >"$work/log" 2>&1 </dev/null
        rc=$?
        ok=$((ok + $(cmocka_sum PASSED "$work/log")))
        skip=$((skip + $(cmocka_sum SKIPPED "$work/log")))
        [ "$rc" != 0 ] || continue
        n=$(cmocka_sum FAILED "$work/log")
        # A crash, a hang, a leak: no closing line of failures, and yet not well.
        [ "$n" -gt 0 ] || n=1
        grep -q '^\[ *PASSED' "$work/log" ||
            ok=$((ok + $(grep -c '^\[  *OK \]' "$work/log")))
        bad=$((bad + n))
        echo "---- $test: exit status $rc$([ "$rc" != 124 ] || echo " (over $UNIT_LIMIT s)")"
        cat "$work/log"
        echo "----"
    done
    count "$ok" "$bad" "$skip" && [ "$ok" -gt 0 ]
}

# The number before a word in pytest's last line ("3 failed, 12 passed in 4.5s").
pytest_count() {
    tail -q -n 1 "$work"/lot? | grep -oE "[0-9]+ $1" | awk '{ n += $1 } END { print n + 0 }'
}

# lot N FOLDER BUILD: every fourth file of its tests.
lot() {
    find "$2" -maxdepth 1 -name 'test_*.py' | sort |
        if [ "$3" = build-asan ]; then grep -vE "/($UNSANITIZED)\.py$"; else cat; fi |
        awk -v n="$1" 'NR % 4 == n'
}

# run_lot N FOLDER BUILD LIMIT: those files, of the programs in that build.
run_lot() {
    # INT, so that pytest's fixtures still end what they started.
    # shellcheck disable=SC2046 # names without blanks
    BUILD_DIR=$PWD/$3 PYTHONDONTWRITEBYTECODE=1 \
        timeout --foreground -s INT -k 20 "$4" /usr/bin/python3 -m pytest \
        -p no:cacheprovider -q -ra $(lot "$1" "$2" "$3") >"$work/lot$1" 2>&1 </dev/null
    rc=$?
    [ "$rc" != 124 ] || echo "$2: not done after $4 s" >>"$work/lot$1"
    return "$rc"
}

# pytests FOLDER BUILD LIMIT: four lots side by side, since tests wait more than they work.
pytests() {
    rm -f "$work"/lot?
    lots='' rcs=''
    for n in 0 1 2 3; do
        [ -n "$(lot "$n" "$1" "$2")" ] || continue
        run_lot "$n" "$@" &
        lots="$lots $!"
    done
    for pid in $lots; do
        wait "$pid" || rcs="$rcs $?"
    done
    lots=
    bad=$(($(pytest_count failed) + $(pytest_count error)))
    [ -z "$rcs" ] || [ "$bad" -gt 0 ] || bad=1
    [ "$bad" = 0 ] || cat "$work"/lot?
    [ "$bad" != 0 ] || sed -n '/^SKIPPED/p' "$work"/lot? # what was not shown, and why
    count "$(pytest_count passed)" "$bad" "$(pytest_count skipped)"
}

# Checks of form; those that were skipped are named, and how large the functions are.
lint() {
    quietly scripts/lint || return
    sed -n '/skipped/p' "$work/log"
    note=$(sed -n 's/^check-size: \([0-9].*\)/\1/p' "$work/log")
}

# gcc's analyzer, clang-tidy, hardening-check; those that were skipped are named.
analyze() {
    ready analyze
    quietly scripts/analyze || return
    sed -n '/skipped/p' "$work/log"
    note=$(sed -n 's/^analyze: clean: //p' "$work/log")
}

# build [SAN=asan]: programs and unit tests; warnings are errors.
build() {
    quietly make -j"$jobs" "$@" all unit
}

build_asan() {
    ready asan
    build SAN=asan
}

build_crash() {
    ready crash
    quietly make -j"$jobs" CRASH=1 all
}

build_fuzz() {
    ready fuzz
    quietly make -j"$jobs" fuzz
}

sanitized() {
    ASAN_OPTIONS=detect_leaks=1:halt_on_error=1:strict_string_checks=1:detect_stack_use_after_return=1
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    export ASAN_OPTIONS UBSAN_OPTIONS
    if stage asan-build build_asan; then
        stage asan-unit unit build-asan
        stage asan-integration pytests tests/integration build-asan $SANITIZER_LIMIT
    fi
    unset ASAN_OPTIONS UBSAN_OPTIONS
}

# The programs that can be told where to die.
crashpoints() {
    stage crash-build build_crash &&
        stage crashpoints pytests tests/crashpoints build-crash $CRASH_LIMIT
}

# Each target is a test: its corpus, and what comes of it.
fuzz_smoke() {
    # The same each time: what is new is for `make fuzz-long` to find.
    # shellcheck disable=SC2046 # names without blanks
    FUZZ_SEED=1 FUZZ_JOBS=$jobs scripts/fuzz-run "$FUZZ_SECONDS" $(fuzz_targets) >"$work/log" 2>&1 </dev/null
    ok=$(tail -n 1 "$work/log" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
    count "${ok:-0}" $(($(fuzz_targets | wc -l) - ${ok:-0})) 0 && [ "$ok" -gt 0 ] && return
    cat "$work/log"
    return 1
}

fuzz_targets() {
    find tests/fuzz -name 'fuzz_*.c' | sed 's,.*/fuzz_\(.*\)\.c,\1,' | sort
}

fuzzed() {
    stage fuzz-build build_fuzz && stage fuzz-smoke fuzz_smoke
}

for part in "$@"; do
    case $part in
    lint | unit | integration | crashpoints | storm | asan | analyze | fuzz-smoke) ;;
    -h | --help)
        sed -n '2,8s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "test.sh: unknown part '$part'; parts: lint unit integration crashpoints storm asan analyze fuzz-smoke" >&2
        exit 2
        ;;
    esac
done
[ $# -gt 0 ] || set -- lint unit integration crashpoints storm asan analyze fuzz-smoke

stage dependencies scripts/install-deps test || finish
for part in "$@"; do
    case $part in
    analyze) stage analyze-tools scripts/install-deps analyze ;;
    fuzz-smoke) stage fuzz-tools quietly scripts/install-deps fuzz ;;
    esac
done
for part in "$@"; do
    case $part in
    crashpoints) ahead crash make CRASH=1 all ;;
    asan) ahead asan make SAN=asan all unit ;;
    analyze) ahead analyze scripts/analyze sources ;;
    fuzz-smoke) ahead fuzz make fuzz ;;
    esac
done
for part in "$@"; do
    case $part in
    unit | integration | storm)
        [ -n "${built-}" ] || { stage build build && built=1; } || finish
        ;;
    esac
    case $part in
    lint)
        stage lint lint
        stage scripts pytests tests/scripts build $UNIT_LIMIT
        ;;
    unit) stage unit unit build ;;
    integration) stage integration pytests tests/integration build $INTEGRATION_LIMIT ;;
    crashpoints) crashpoints ;;
    storm) stage storm pytests tests/storm build $STORM_LIMIT ;;
    asan) sanitized ;;
    analyze) stage analyze analyze ;;
    fuzz-smoke) fuzzed ;;
    esac
done
finish
