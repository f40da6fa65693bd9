#!/bin/sh
# Certbot runs this with every new certificate: it is put where Nginx reads it, and Nginx goes on with it.
#
# edge.env says where (TLS=), whose files they are (TLS_OWNER=), and how Nginx is told (RELOAD=).
set -eu

# shellcheck source=/dev/null
. "${GLIOFED_EDGE:-/etc/gliofed/edge.env}"
: "${RENEWED_LINEAGE:?certbot says where the new certificate is}"

umask 077
cp "$RENEWED_LINEAGE/privkey.pem" "$TLS/.key.pem.new"
cp "$RENEWED_LINEAGE/fullchain.pem" "$TLS/.certificate.pem.new"
chown "$TLS_OWNER" "$TLS/.key.pem.new" "$TLS/.certificate.pem.new"
mv "$TLS/.key.pem.new" "$TLS/key.pem"
mv "$TLS/.certificate.pem.new" "$TLS/certificate.pem"
$RELOAD
