#!/bin/sh
# verify-openssl.sh LICENSE PUBLIC_KEY: checks a license's signature with nothing but the
# openssl program (1.1.1 and up) and prints the claims. Does not look at the time.
# Written from docs/license.md alone; exit code 1 when the signature does not hold.
set -eu

d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT

from_base64url() {
    s=$(tr '_-' '/+')
    while [ $((${#s} % 4)) -ne 0 ]; do s="$s="; done
    printf %s "$s" | openssl base64 -d -A
}

# A piece of the signed bytes: its length as 8 bytes, lowest first, then itself.
piece() {
    n=$(($(wc -c <"$1")))
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o' $((n % 256)) $((n / 256)))\\0\\0\\0\\0\\0\\0"
    cat "$1"
}

sed -n '/^-----BEGIN STOPGAP LICENSE-----/,/^-----END STOPGAP LICENSE-----/p' "$1" |
    grep -v '^-----' | tr -d ' \t\r\n' >"$d/token"
cut -d. -f3 "$d/token" | from_base64url >"$d/body"
cut -d. -f4 "$d/token" | from_base64url >"$d/footer"
head -c -64 "$d/body" >"$d/payload"
tail -c 64 "$d/body" >"$d/signature"
printf v4.public. >"$d/header"
: >"$d/implicit"
{
    printf '\004\0\0\0\0\0\0\0'
    for p in header payload footer implicit; do piece "$d/$p"; done
} >"$d/signed"

# The fixed beginning of an Ed25519 key in DER (RFC 8410), then its 32 bytes.
{
    printf '\060\052\060\005\006\003\053\145\160\003\041\000'
    cut -d. -f3 "$2" | from_base64url
} >"$d/key.der"
openssl pkeyutl -verify -pubin -keyform DER -inkey "$d/key.der" -rawin \
    -in "$d/signed" -sigfile "$d/signature" >&2
cat "$d/payload"
echo
