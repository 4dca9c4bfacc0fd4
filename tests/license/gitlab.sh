#!/bin/sh
# Reads a license with GitLab's own gem: see gitlab.rb for the arguments behind GEM. The
# gem is taken from the folder that STOPGAP_GITLAB_LICENSE_GEM names (its unpacked
# source, with lib/gitlab/license.rb in it), else as it is installed, else fetched once
# into build/license-check. Exit code 77, and a line that says so, when ruby or the gem
# cannot be had.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=${STOPGAP_LICENSE_CHECK_DIR:-$here/../../build/license-check}
gem=gitlab-license-1.0.1

skip() {
    echo "SKIPPED: no check with GitLab's own code: $1" >&2
    exit 77
}

command -v ruby >/dev/null || skip "ruby is not installed"
if [ -n "${STOPGAP_GITLAB_LICENSE_GEM:-}" ]; then
    [ -r "$STOPGAP_GITLAB_LICENSE_GEM/lib/gitlab/license.rb" ] ||
        skip "STOPGAP_GITLAB_LICENSE_GEM holds no lib/gitlab/license.rb"
    from=$STOPGAP_GITLAB_LICENSE_GEM
elif ruby -e 'require "gitlab/license"' 2>/dev/null; then
    from=
else
    if [ ! -r "$work/$gem/lib/gitlab/license.rb" ]; then
        command -v gem >/dev/null || skip "neither the gem nor a gem program is installed"
        mkdir -p "$work"
        (cd "$work" && timeout -k 5 60 gem fetch gitlab-license -v "${gem##*-}" &&
            gem unpack "$gem.gem") >"$work/gem.log" 2>&1 </dev/null ||
            skip "the gem gitlab-license cannot be fetched (see STOPGAP_GITLAB_LICENSE_GEM in $0)"
    fi
    from=$work/$gem
fi
exec ruby "$here/gitlab.rb" "$from" "$@"
