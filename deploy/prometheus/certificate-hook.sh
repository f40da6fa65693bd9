#!/bin/sh
# Tells Prometheus when the certificate ends that Nginx serves, which fl-web does not know: a file for the node exporter.
# As Certbot's hook: ln -s THIS /etc/letsencrypt/renewal-hooks/deploy/. For a certificate of the hospital's own: THIS FILE.
# Run it once by hand too. If it is not renewed, the old end stays told, and comes near.
set -eu

certificate=${1:-${RENEWED_LINEAGE:?name a certificate}/fullchain.pem}
folder=${TEXTFILES:-/var/lib/prometheus/node-exporter}

ends=$(openssl x509 -in "$certificate" -noout -enddate) # its first one, which is the server's
seconds=$(date -u -d "${ends#notAfter=}" +%s)
new=$(mktemp "$folder/.gliofed-certificate.XXXXXX")
printf 'gliofed_certificate_end_time_seconds{certificate="nginx"} %s\n' "$seconds" >"$new"
chmod 644 "$new"
mv "$new" "$folder/gliofed-certificate.prom"
