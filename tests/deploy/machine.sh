#!/usr/bin/env bash
# Makes FOLDER the root folder of a machine: the Debian (or Ubuntu) of this one, from its own mirror, with what a hospital
# or a coordinator installs, for `systemd-nspawn --boot`. Does nothing where this very script has made it before.
#
#     sudo tests/deploy/machine.sh FOLDER
set -euo pipefail

PACKAGES=(systemd systemd-sysv dbus procps iproute2 ca-certificates openssl python3-venv mariadb-server nginx age certbot curl)
NEEDED=(mmdebstrap systemd-container)
MADE_BY=/etc/made-by # in the machine: the sum of the script that made it

folder=${1:?Say which folder}
[ "$(id -u)" = 0 ] || { echo "Only root makes the root folder of a machine: type sudo $0 $folder" >&2 && exit 1; }
type mmdebstrap systemd-nspawn &>/dev/null ||
    { echo "Machines need what is not installed. Type: sudo apt-get install ${NEEDED[*]}" >&2 && exit 1; }
mkdir -p "$(dirname "$folder")"
exec 9<"$(dirname "$folder")"
flock 9 # two test runs at once make it once

sum=$(sha256sum <"$0")
[ "$(cat "$folder$MADE_BY" 2>/dev/null)" != "$sum" ] || exit 0

# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# Sources of other projects, which name no suite of the distribution's, are not for a hospital's machine.
mapfile -t sources < <(grep --files-with-matches --word-regexp --no-messages "$suite" \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources || true)
[ ${#sources[@]} -gt 0 ] || { echo "No file of /etc/apt names a source of $suite" >&2 && exit 1; }

rm -rf --one-file-system "$folder.new"
# shellcheck disable=SC2016 # mmdebstrap's own $1
# The name, the resolver and the identity of this machine are none of the new one's: it gets its own when it boots.
mmdebstrap --quiet --mode=root --variant=minbase --include="$(IFS=, && echo "${PACKAGES[*]}")" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/var/lib/dbus/machine-id"' \
    --customize-hook=': >"$1/etc/machine-id"' \
    "$suite" "$folder.new" "${sources[@]}"
echo "$sum" >"$folder.new$MADE_BY"
rm -rf --one-file-system "$folder"
mv "$folder.new" "$folder"
