#!/bin/sh
# Makes the federation, once, and an invitation for each hospital: init.sh ADDRESS LISTEN SITE...
set -eu
umask 077
address=$1 listen=$2
shift 2
if [ ! -e "$FL_PASSPHRASE_FILE" ]; then
    head -c 24 /dev/urandom | base64 >"$FL_PASSPHRASE_FILE"
fi
if [ ! -e "$FL_HOME/server.toml" ]; then
    fl-server init "$address" --listen "$listen"
fi
for site in "$@"; do
    invitation=/srv/invitation/$site/invitation
    if [ ! -e "$invitation" ]; then
        fl-server invite "$site" >"$invitation.new"
        mv "$invitation.new" "$invitation"
    fi
done
