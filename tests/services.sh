#!/usr/bin/env bash
# Makes sure that the programs which tests run beside Python are there: MariaDB's server and client, Nginx with auth_request,
# ip, setpriv, Chromium, age, systemd-analyze, Prometheus, Certbot, an authority and a name server for it, and what makes
# machines and boots them. On Debian or Ubuntu as root it installs what is missing, and starts nothing, now or later; else
# it says what to type.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin # where Debian keeps servers, and where not every account looks
PACKAGES=(mariadb-server-core mariadb-client nginx iproute2 util-linux chromium fonts-dejavu-core age systemd
    prometheus certbot pebble bind9 bind9-dnsutils mmdebstrap systemd-container)
PROGRAMS=(mariadbd mariadb-install-db my_print_defaults mariadb mariadb-dump mariadb-binlog nginx ip setpriv chromium age
    age-keygen systemd-analyze prometheus promtool certbot pebble named tsig-keygen nsupdate mmdebstrap systemd-nspawn)
# Debian's listen on every address from the next boot on; tests start their own.
LISTENERS=(prometheus named)
POLICY=/usr/sbin/policy-rc.d

missing() {
    for program in "${PROGRAMS[@]}"; do
        command -v "$program" >/dev/null || echo "$program"
    done
    if command -v nginx >/dev/null && ! nginx -V 2>&1 | grep -q http_auth_request_module; then
        echo "nginx's auth_request"
    fi
}

refuse() {
    echo "Tests need what is not installed: $(missing | paste -sd, | sed 's/,/, /g')" >&2
    echo "Type: sudo apt-get install --no-install-recommends ${PACKAGES[*]}" >&2
    exit 1
}

[ -z "$(missing)" ] && exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || refuse

if [ ! -e "$POLICY" ]; then # Debian asks it before it starts what it has installed; 101 is no
    trap 'rm -f "$POLICY"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod +x "$POLICY"
fi
new=()
for service in "${LISTENERS[@]}"; do
    command -v "$service" >/dev/null || new+=("$service")
done
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install --yes --quiet --no-install-recommends "${PACKAGES[@]}"; }
install || { apt-get update --quiet && install; } || refuse # the list of packages may be old, or none
[ -z "$(missing)" ] || refuse
for service in "${new[@]}"; do
    update-rc.d "$service" disable
done
