#!/bin/sh
# Reads a license with PASETO libraries from npm: see verify.mjs for the arguments.
# Installs them into build/license-check first, once. Exit code 77, and a line that says
# so, when node, npm or the libraries cannot be had; without a network that takes a
# minute at most.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=${STOPGAP_LICENSE_CHECK_DIR:-$here/../../build/license-check}

skip() {
    echo "SKIPPED: no independent check of the license: $1" >&2
    exit 77
}

command -v node >/dev/null || skip "node is not installed"
command -v npm >/dev/null || skip "npm is not installed"
mkdir -p "$work"
if ! cmp -s "$here/package-lock.json" "$work/installed"; then
    cp "$here/package.json" "$here/package-lock.json" "$work/"
    (cd "$work" && timeout -k 5 60 npm ci --ignore-scripts --no-audit --no-fund \
        --prefer-offline --fetch-retries=1 --fetch-retry-mintimeout=1000 \
        --fetch-retry-maxtimeout=2000 --fetch-timeout=20000 >npm.log 2>&1 </dev/null) || {
        tail -n 5 "$work/npm.log" >&2
        skip "npm cannot install the libraries"
    }
    cp "$here/package-lock.json" "$work/installed"
fi
# Beside node_modules, where node looks for imports.
cp "$here/verify.mjs" "$work/"
exec node "$work/verify.mjs" "$@"
