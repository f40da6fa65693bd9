#!/usr/bin/env bash
# Makes sure that the programs which tests run beside Python are there: MariaDB's server, Nginx with auth_request, ip,
# setpriv, Chromium, Prometheus and systemd-analyze. On Debian or Ubuntu as root it installs what is missing, and starts
# nothing, nor lets Prometheus start later; else it says what to type.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin # where Debian keeps servers, and where not every account looks
PACKAGES=(mariadb-server-core mariadb-client-core nginx iproute2 util-linux chromium fonts-dejavu-core prometheus systemd)
POLICY=/usr/sbin/policy-rc.d

missing() {
    for program in mariadbd mariadb-install-db my_print_defaults nginx ip setpriv chromium prometheus promtool \
        systemd-analyze; do
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
had_prometheus=$(command -v prometheus || true)
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install --yes --quiet --no-install-recommends "${PACKAGES[@]}"; }
install || { apt-get update --quiet && install; } || refuse # the list of packages may be old, or none
[ -z "$(missing)" ] || refuse
# Debian's listens on every address from the next boot on; tests start their own.
[ -n "$had_prometheus" ] || update-rc.d prometheus disable
