#!/bin/sh
# Shows the main job on real programs: installs what is missing, builds, starts a private
# redis-server, a local mail server, a GitLab stand-in and a worker, sends in four
# requests and shows what became of each. Exit status 0 only if every check holds;
# nothing is left running.
#
#   scripts/demo.sh [--keep]     --keep: leave it running, and say how to play with it
set -u
cd "$(dirname "$0")/.." || exit 1

for arg in "$@"; do
    case $arg in
    --keep) ;;
    -h | --help)
        sed -n '2,7s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "demo.sh: unknown argument '$arg'; only --keep is known" >&2
        exit 2
        ;;
    esac
done

scripts/install-deps demo || exit 1
make -q all >/dev/null 2>&1 || echo 'demo.sh: building'
if ! log=$(make -j"$(nproc 2>/dev/null || echo 2)" all 2>&1 </dev/null); then
    printf '%s\n' "$log" >&2
    echo "demo.sh: the build failed (see above)" >&2
    exit 1
fi
# From here on the driver has the signals, and ends what it started.
PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 tests/demo/demo.py "$@"
