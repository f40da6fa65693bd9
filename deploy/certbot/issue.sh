#!/usr/bin/env bash
# Gets the web's certificate from an ACME authority, and sees to it that Debian's certbot.timer renews it from then on.
#
#   issue.sh NAME MAIL                      over port 80 (HTTP-01), from Let's Encrypt
#   issue.sh NAME MAIL --dns                over the DNS (DNS-01), where nobody outside reaches port 80
#   issue.sh NAME MAIL --server URL         from another authority, such as a closed network's own
#
# What follows MAIL, but for --dns, goes to certbot. A closed network's authority must be trusted by this machine: put its
# root into /usr/local/share/ca-certificates and run update-ca-certificates.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
export GLIOFED_EDGE=${GLIOFED_EDGE:-/etc/gliofed/edge.env} # says where ACME's answers go: ACME=
# shellcheck source=/dev/null
. "$GLIOFED_EDGE"

if [ $# -lt 2 ] || [ "${1#-}" != "$1" ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
NAME=$1 MAIL=$2
shift 2

WAY=(--webroot --webroot-path "$ACME")
if [ "${1:-}" = --dns ]; then
    shift
    WAY=(--manual --preferred-challenges dns-01
        --manual-auth-hook "env GLIOFED_EDGE='$GLIOFED_EDGE' '$HERE/dns.sh' add"
        --manual-cleanup-hook "env GLIOFED_EDGE='$GLIOFED_EDGE' '$HERE/dns.sh' delete")
fi
certbot certonly --non-interactive --agree-tos --email "$MAIL" --key-type ecdsa --cert-name gliofed-web \
    --domain "$NAME" --deploy-hook "env GLIOFED_EDGE='$GLIOFED_EDGE' '$HERE/deploy-hook.sh'" "${WAY[@]}" "$@"
