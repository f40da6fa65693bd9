#!/bin/sh
# Proves to an ACME authority that the name is ours by a record in the DNS (RFC 2136 update, signed with a TSIG key that may
# write this one record and nothing else). Certbot runs it with `add` and then `delete`.
#
# edge.env: DNS_SERVER="address port", DNS_KEY=file of the key, DNS_WAIT_S=until all of the zone's servers have it.
set -eu

# shellcheck source=/dev/null
. "${GLIOFED_EDGE:-/etc/gliofed/edge.env}"
: "${CERTBOT_DOMAIN:?certbot says which name}" "${CERTBOT_VALIDATION:?certbot says what to publish}"

case $1 in
add) change="add _acme-challenge.$CERTBOT_DOMAIN. 60 TXT \"$CERTBOT_VALIDATION\"" ;;
delete) change="delete _acme-challenge.$CERTBOT_DOMAIN. TXT \"$CERTBOT_VALIDATION\"" ;;
*) exit 2 ;;
esac
printf 'server %s\nupdate %s\nsend\n' "$DNS_SERVER" "$change" | nsupdate -k "$DNS_KEY"
[ "$1" = delete ] || sleep "${DNS_WAIT_S:-30}"
