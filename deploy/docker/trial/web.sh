#!/bin/sh
# Serves one side's pages on a socket for Nginx; `web.sh NAME` makes a clinician of that name first, once, for visit.py.
set -eu
umask 077
cp /trial/web.toml /srv/web/web.toml
python /trial/certificate.py /srv/web
if [ $# = 1 ] && [ ! -e /srv/visitor/user.json ]; then
    head -c 24 /dev/urandom | base64 >/srv/visitor/password
    fl-web create-user "$1" --role clinician --data /srv/web --json </srv/visitor/password >/srv/visitor/user.new
    mv /srv/visitor/user.new /srv/visitor/user.json
    cp /srv/web/tls/certificate.pem /srv/visitor/
fi
exec fl-web run --data /srv/web --socket /srv/socket/web.sock
