#!/bin/sh
# verify-gitlab-openssl.sh LICENSE PUBLIC_KEY: opens a GitLab license file with nothing
# but the openssl program and prints its attributes. Does not look at the dates. Written
# from docs/license.md alone; exit code 1 when it does not open.
set -eu

d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT

sed -n '/BEGIN GITLAB LICENSE/,/END GITLAB LICENSE/p' "$1" | grep -v '^--' |
    tr -d ' \t\r\n' | openssl base64 -d -A >"$d/envelope"

# The member of that name: no quotes or backslashes are in any of them.
member() {
    sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$d/envelope" | openssl base64 -d -A
}

member key >"$d/key"
member data >"$d/data"
openssl pkeyutl -verifyrecover -pubin -inkey "$2" -in "$d/key" -out "$d/aes"
hex() { od -An -v -tx1 | tr -d ' \n'; }
openssl enc -d -aes-128-cbc -K "$(hex <"$d/aes")" -iv "$(member iv | hex)" -in "$d/data"
echo
