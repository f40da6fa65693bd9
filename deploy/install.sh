#!/usr/bin/env bash
# Installs GlioFed on a Debian or Ubuntu machine with systemd, or brings it to another release. As root:
#
#   install.sh coordinator --address fl.example.org:443 --name gliofed.example.org --listen 10.0.0.5
#   install.sh hospital --name gliofed.hospital.example --listen 10.1.2.3
#   install.sh           another release on a machine that has one: what was answered before still holds
#   install.sh --back    the release before, where the tables are still as it knows them
#
#   --address  as hospitals reach the coordinator          --name    as browsers reach the pages
#   --listen   this machine's address for both             --offline BUNDLE --key FILE   install from what `make bundle`
#                                                          wrote, if FILE's key signed it, with no network at all
#
# Without --offline it takes the wheel that `make wheel` left in ../dist, and the rest from where pip is told to.
#
# A new release is tried, on the upgraded tables, where nobody reaches it, before it takes over; what fails on the way, to
# its first answer, brings the old release and its tables back. Run again with the same, it changes nothing. Settings that
# are there are never overwritten: /etc/gliofed, web.toml, server.toml, site.toml.
set -euo pipefail
shopt -s inherit_errexit nullglob
umask 022

HERE=$(cd "$(dirname "$0")/.." && pwd)
PROGRAM=/opt/gliofed SETTINGS=/etc/gliofed STATE=/var/lib/gliofed
DATA=$STATE/web ACME=/var/lib/gliofed-acme ASIDE=/var/backups/gliofed/upgrade
SOCKET=/run/gliofed-web.sock MARIADB=/run/mysqld/mysqld.sock
PACKAGES=(python3-venv mariadb-server nginx age certbot curl openssl)
PATIENCE_S=180

say() { printf '%s\n' "$*"; }
refuse() {
    printf '%s\n' "$@" >&2
    exit 2
}
as() { # as ACCOUNT COMMAND...
    local account=$1
    shift
    runuser -u "$account" -- env FL_HOME=$STATE HOME=$STATE PYTHONDONTWRITEBYTECODE=1 "$@"
}

# --- what is wanted ------------------------------------------------------------------------------------------------------

ROLE='' ADDRESS='' NAME='' LISTEN='' OFFLINE='' KEY='' BACK='' UNPACKED=''
# shellcheck source=/dev/null
[ ! -e $SETTINGS/install.env ] || . $SETTINGS/install.env
while [ $# -gt 0 ]; do
    case $1 in
    coordinator | hospital)
        [ "${ROLE:-$1}" = "$1" ] || refuse "This machine is a $ROLE's" "one machine, one role: install the $1 on another"
        ROLE=$1
        ;;
    --back) BACK=yes ;;
    --address | --name | --listen | --offline | --key | --unpacked)
        [ $# -ge 2 ] || refuse "$1 needs a value" "install.sh --help"
        option=${1#--}
        printf -v "${option^^}" %s "$2"
        shift
        ;;
    --help)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
        exit
        ;;
    *) refuse "install.sh does not know '$1'" "install.sh --help" ;;
    esac
    shift
done
[ -n "$ROLE" ] || refuse "Nothing is installed here yet, so a role is needed" "install.sh coordinator or install.sh hospital; install.sh --help"
[[ $NAME =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ ]] || refuse "--name: '$NAME' is no host name" "name what browsers will type, in small letters"
[[ $LISTEN =~ ^[0-9.]+$ && $LISTEN != 0.0.0.0 ]] ||
    refuse "--listen: '$LISTEN' is no IPv4 address of this machine" "one of: $(hostname -I 2>/dev/null || true)"
if [ "$ROLE" = coordinator ]; then
    [[ $ADDRESS =~ ^[a-z0-9.-]+(:[0-9]+)?$ ]] || refuse "--address: '$ADDRESS' is no address" "name what hospitals will reach, as fl.example.org:443"
    [ "${ADDRESS%:*}" != "$NAME" ] || refuse "--address and --name are both $NAME" "give the pages a name of their own; both may lead to this machine"
    PORT=${ADDRESS##*:}
    [[ $PORT =~ ^[0-9]+$ ]] || PORT=443
else
    ADDRESS='' PORT=443
fi
AT=$NAME:$PORT
AT=${AT%:443}
[ "$(id -u)" = 0 ] || refuse "This needs root" "sudo $0 ..."
[ -d /run/systemd/system ] || refuse "This machine is not run by systemd" "in a container: deploy/docker"
command -v apt-get >/dev/null || refuse "This is no Debian or Ubuntu" "elsewhere: deploy/docker"

# --- the bundle ----------------------------------------------------------------------------------------------------------

# Unpacks a bundle where only root writes, checks signature and hashes, and goes on with the install.sh that is in it.
unpack() {
    local key=${KEY:-$SETTINGS/release.pub} work strange
    [ -e "$key" ] || refuse "No key to check the bundle's signature with" "--key FILE: the public key that came by another way than the bundle"
    mkdir -p $PROGRAM/releases
    work=$(mktemp -d $PROGRAM/releases/.unpacked.XXXXXX)
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    if [ -d "$OFFLINE" ]; then
        cp -r --no-preserve=mode,ownership "$OFFLINE/." "$work"
    else
        tar --extract --no-same-owner --strip-components 1 --file "$OFFLINE" --directory "$work" || refuse "$OFFLINE is no bundle" "copy it again"
    fi
    strange=$(find "$work" ! -type f ! -type d -printf '%P ' -quit)
    [ -z "$strange" ] || refuse "The bundle holds what is no file: $strange" "do not use it"
    openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$work/SHA256SUMS" -sigfile "$work/SHA256SUMS.sig" >/dev/null 2>&1 ||
        refuse "The bundle was not signed with $key, or was changed since" "ask who made it, and do not use it until you know"
    (cd "$work" && sha256sum --quiet --strict --check SHA256SUMS) || refuse "The bundle is damaged" "copy it again"
    strange=$(cd "$work" && find . -type f -printf '%P\n' | grep -vFxf <(cut -c 67- SHA256SUMS; echo SHA256SUMS; echo SHA256SUMS.sig) || true)
    [ -z "$strange" ] || refuse "The bundle holds what its maker did not put there: $strange" "do not use it"
    cmp --quiet "$key" $SETTINGS/release.pub || install -D -m 644 "$key" $SETTINGS/release.pub
    say "The bundle is whole, and signed with $key."
    bash "$work/deploy/install.sh" "$ROLE" --name "$NAME" --listen "$LISTEN" ${ADDRESS:+--address "$ADDRESS"} --unpacked "$work"
    exit
}
if [ -n "$OFFLINE" ]; then unpack; fi

# --- Debian's packages ---------------------------------------------------------------------------------------------------

# Lets apt start nothing: what it installs gets its settings first.
packages() {
    local missing=() package policy=/usr/sbin/policy-rc.d
    for package in "${PACKAGES[@]}"; do
        dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${missing[*]} ..."
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    # The list of packages may be old, or none.
    apt-get install --yes --quiet --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
        { apt-get update --quiet >/dev/null && apt-get install --yes --quiet --no-install-recommends "${missing[@]}" >/dev/null; } ||
        refuse "Debian's packages could not be installed: ${missing[*]}" "without a network, install them from your mirror or installation medium first"
    [ -z "$(trap -p EXIT)" ] || rm -f $policy # ours
    trap - EXIT
    # Its welcome page listens on every address.
    [[ " ${missing[*]} " != *" nginx "* ]] || rm -f /etc/nginx/sites-enabled/default
}

# --- the release ---------------------------------------------------------------------------------------------------------

# Installs the program into a folder named after its content, once; prints the folder.
release() {
    local from=${UNPACKED:-$HERE} python=python3 wheel id folder
    if [ -n "$UNPACKED" ]; then
        python=python$(sed -n 's/^PYTHON=//p' "$from/release.env")
        id=$(sha256sum "$from/SHA256SUMS")
        wheel=$(echo "$from"/wheels/gliofed-*.whl)
    else
        wheel=$(echo "$from"/dist/gliofed-*.whl)
        [ -e "$wheel" ] || refuse "There is no wheel in $from/dist" "make wheel, not as root; or name a bundle: --offline"
        id=$(cat "$wheel" "$from/constraints.txt" | sha256sum)
    fi
    command -v "$python" >/dev/null || refuse "This needs $python" "install it, or make the bundle with the Python of this machine: make PYTHON=... bundle"
    folder=$PROGRAM/releases/$(basename "$wheel" | cut -d - -f 2)-${id:0:8}
    echo "$folder"
    [ ! -e "$folder/.whole" ] || return 0
    rm -rf "$folder"
    "$python" -m venv "$folder"
    export TMPDIR=$folder # where /tmp is memory, it has no room for a GPU's libraries
    if [ -n "$UNPACKED" ]; then # each file by its hash, and nothing that is not in the list
        (cd "$from" && sed -n 's#^\([0-9a-f]*\)  \(wheels/.*\)#./\2 --hash=sha256:\1#p' SHA256SUMS >requirements.txt &&
            "$folder/bin/pip" install --quiet --no-index --no-deps --require-hashes --requirement requirements.txt)
    else
        "$folder/bin/pip" install --quiet --constraint "$from/constraints.txt" "gliofed[web] @ file://$wheel"
    fi >&2
    "$folder/bin/pip" check --quiet >&2
    cp -r "$from/deploy" "$from/docs" "$folder"
    ln -s "$("$folder/bin/python" -c 'import webapp, pathlib; print(pathlib.Path(webapp.__file__).parent / "pages")')" "$folder/pages"
    chmod -R go=rX "$folder"
    sync -f "$folder" && touch "$folder/.whole"
}

# --- this machine's settings ---------------------------------------------------------------------------------------------

CHANGED=()
# put FILE MODE OWNER <TEXT: writes what is not there yet or has changed, at once.
put() {
    local new
    new=$(mktemp "$1.XXXXXX")
    cat >"$new"
    if cmp --quiet "$new" "$1"; then
        rm "$new"
        return 0 # said outright: within the trap, a bare one is the failure that it was set for
    fi
    chown "$3" "$new" && chmod "$2" "$new" && mv "$new" "$1"
    CHANGED+=("$1")
}
# keep FILE MODE OWNER <TEXT: writes only what is not there yet.
keep() { if [ -e "$1" ]; then cat >/dev/null; else put "$@"; fi; }
changed() { [[ " ${CHANGED[*]} " == *"$1"* ]]; }

UNITS=(gliofed-web.socket gliofed-web.service gliofed-verify-audit.service gliofed-verify-audit.timer)
UNITS+=(gliofed-{backup,dump,binlogs}.{service,timer})
PROGRAMS=(gliofed-web.socket gliofed-web.service)
if [ "$ROLE" = coordinator ]; then
    PROGRAMS+=(gliofed-coordinator.service)
    SITE=$STATE/nginx/web/web.conf LOG=$STATE/logs/web.log TLS_OWNER=gliofed:gliofed
    EDGE=gliofed-coordinator RELOAD="systemctl reload gliofed-coordinator"
else
    PROGRAMS+=(gliofed-client.service)
    SITE=/etc/nginx/conf.d/gliofed.conf LOG=/var/log/nginx/gliofed.log TLS_OWNER=root:root
    EDGE=nginx RELOAD="systemctl reload nginx"
fi
UNITS+=("${PROGRAMS[2]}")
URL="mysql+pymysql://gliofed@localhost/gliofed?unix_socket=$MARIADB"

# MariaDB, the accounts, and the folders: what is the same for every release.
machine() {
    local deploy=$1/deploy
    mkdir -p $SETTINGS $ACME /etc/sysusers.d /etc/tmpfiles.d /etc/mysql/mariadb.conf.d
    put $SETTINGS/install.env 644 root:root <<<"ROLE=$ROLE NAME=$NAME LISTEN=$LISTEN ADDRESS=$ADDRESS"
    put /etc/mysql/mariadb.conf.d/70-gliofed.cnf 644 root:root <"$deploy/mariadb/gliofed.cnf"
    put /etc/sysusers.d/gliofed-database.conf 644 root:root <"$deploy/systemd/gliofed-database.sysusers.conf"
    put /etc/tmpfiles.d/gliofed-database.conf 644 root:root <"$deploy/systemd/gliofed-database.tmpfiles.conf"
    systemd-sysusers gliofed-database.conf 2>&1 | sed '/^Creating /d' >&2
    systemd-tmpfiles --create gliofed-database.conf
    systemctl enable --quiet mariadb
    if changed 70-gliofed.cnf; then systemctl restart mariadb; else systemctl start mariadb; fi
    install -d -m 700 -o gliofed -g gliofed $DATA
    install -d -m 750 -o "${TLS_OWNER%:*}" -g "${TLS_OWNER#*:}" $SETTINGS/tls

    keep $DATA/web.toml 600 gliofed:gliofed <<END
# All settings, with what they mean: $PROGRAM/current/deploy/examples/web.toml
[site]
serves = "$ROLE"
database = "$URL"

[server]
hosts = ["$NAME"]
proxies = 1
END
    keep $SETTINGS/edge.env 644 root:root <<END
# For Certbot's hooks: $PROGRAM/current/deploy/certbot
ACME=$ACME
TLS=$SETTINGS/tls
TLS_OWNER=$TLS_OWNER
RELOAD="$RELOAD"
END
    keep $SETTINGS/backup.env 644 root:root <"$deploy/backup/backup.env"
    if [ ! -e $SETTINGS/tls/certificate.pem ]; then # so that Nginx starts; certbot/issue.sh brings one that browsers trust
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 90 -subj "/CN=$NAME" -addext "subjectAltName=DNS:$NAME" \
            -keyout $SETTINGS/tls/key.pem -out $SETTINGS/tls/certificate.pem 2>/dev/null
        chown "$TLS_OWNER" $SETTINGS/tls/*.pem && chmod 600 $SETTINGS/tls/key.pem
    fi
}

# Units and Nginx's site as a release has them.
configure() {
    local deploy=$1/deploy unit upload
    for unit in "${UNITS[@]}"; do
        put "/etc/systemd/system/$unit" 644 root:root <"$deploy/systemd/$unit"
    done
    changed /etc/systemd/system && systemctl daemon-reload
    [ "$ROLE" = hospital ] || as gliofed mkdir -p $STATE/nginx/web $STATE/logs
    upload=$(
        "$1/bin/python" - $DATA/web.toml "$NAME" <<'END'
import sys, tomllib

path, name = sys.argv[1:]
toml = tomllib.load(open(path, "rb"))
if name not in toml.get("server", {}).get("hosts", []):
    sys.exit(f"{path} does not have '{name}' in server.hosts\nadd it, then run this again")
print(toml.get("limits", {}).get("upload_mb", 2048) + 100)
END
    )
    sed "/^#/d; s|https://@NAME@|https://$AT|g; s|@NAME@|$NAME|g; s|@LISTEN@|$LISTEN:$PORT|; s|@LISTEN_PLAIN@|$LISTEN:80|; s|@CERTIFICATE@|$SETTINGS/tls/certificate.pem|
        s|@KEY@|$SETTINGS/tls/key.pem|; s|@SOCKETS@|    server unix:$SOCKET max_fails=0;|; s|@PAGES@|$PROGRAM/current/pages|; s|@ACME@|$ACME|
        s|@UPLOAD_MB@|$upload|; s|@LOG@|$LOG|; s|@HEADERS@|$PROGRAM/current/deploy/nginx/headers.conf|" "$deploy/nginx/web.conf" |
        put "$SITE" 644 root:root
    sed 's/^    //' <<END | put /usr/local/bin/fl-web 755 root:root
    #!/bin/sh
    # GlioFed's commands as the account gliofed, with its home: sudo fl-web users --data $DATA
    [ "\$(id -u)" = 0 ] || { echo "This needs root: sudo \$(basename "\$0") ..." >&2; exit 2; }
    exec setpriv --reuid=gliofed --regid=gliofed --init-groups env FL_HOME=$STATE HOME=$STATE PYTHONDONTWRITEBYTECODE=1 \\
        "$PROGRAM/current/bin/\$(basename "\$0")" "\$@"
END
    ln -sf fl-web "/usr/local/bin/$([ "$ROLE" = coordinator ] && echo fl-server || echo fl-client)"
}

# --- the switch ----------------------------------------------------------------------------------------------------------

sql() { mariadb --no-defaults --batch --skip-column-names --user=root --socket=$MARIADB "$@"; }
revision() { sql --execute "SELECT version_num FROM gliofed.alembic_version" 2>/dev/null || echo none; }
stop() {
    systemctl stop "${PROGRAMS[@]}" 2>/dev/null || true
    systemctl reset-failed "${PROGRAMS[@]}" 2>/dev/null || true
}
point() { ln -sfn "$2" "$1.new" && mv -T "$1.new" "$1"; }

# Which release it was, and its tables, for as long as the new one has not taken over. Of an upgrade that was cut off, what
# it kept stays: its tables may be half changed, and no program of the old release can have written since.
keep_aside() {
    install -d -m 700 $ASIDE
    echo "$OLD" >$ASIDE/from
    [ ! -e $ASIDE/database.sql ] || [ "$(cat $ASIDE/revision)" = "$(revision)" ] || return 0
    revision >$ASIDE/revision
    if [ "$(cat $ASIDE/revision)" != none ]; then
        mariadb-dump --no-defaults --user=root --socket=$MARIADB --single-transaction --triggers --hex-blob gliofed >$ASIDE/database.sql.partial
        sync $ASIDE/database.sql.partial && mv $ASIDE/database.sql.partial $ASIDE/database.sql
    fi
    [ ! -e $STATE/records.db ] || copy_records $STATE/records.db $ASIDE/records.db
}
copy_records() { # with what SQLite has not yet put into the file
    rm -f "$2"
    "$OLD/bin/python" -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))' "$1" "$2"
}

# Brings the tables to what a release needs, and lets it serve where nobody reaches it.
try() {
    local new=$1 url="mysql+pymysql://gliofed-owner@localhost/gliofed?unix_socket=$MARIADB"
    "$new/deploy/mariadb/accounts.sh" >/dev/null
    TOUCHED=tables
    as gliofed-owner "$new/bin/fl-web" upgrade-database --database "$url" >/dev/null
    if [ "$ROLE" = coordinator ]; then federation "$new"; fi
    if [ -e $STATE/pki/site.crt ]; then
        TOUCHED="tables records"
        as gliofed "$new/bin/fl-client" verify >/dev/null
    fi
    systemctl reset-failed gliofed-try 2>/dev/null || true
    systemd-run --quiet --collect --unit=gliofed-try --uid=gliofed --gid=gliofed -p RuntimeDirectory=gliofed-try -p UMask=0077 \
        -p EnvironmentFile=-$SETTINGS/web.env -E FL_HOME=$STATE "$new/bin/fl-web" run --data $DATA --socket /run/gliofed-try/web.sock
    answers gliofed-try --unix-socket /run/gliofed-try/web.sock "http://$NAME/healthz"
    systemctl stop gliofed-try
}

# answers UNIT CURL'S ARGUMENTS...: waits until it does, as long as it is not started again and again.
answers() {
    local unit=$1 until=$((SECONDS + PATIENCE_S))
    shift
    until curl --silent --fail --max-time 5 --output /dev/null "$@"; do
        if [ $SECONDS -gt $until ] || [ "$(systemctl show --value --property=NRestarts "$unit")" -gt 2 ] || ! systemctl --quiet is-active "$unit"; then
            journalctl --unit="$unit" --output=cat --lines=10 --no-pager >&2
            say "The new release does not serve." >&2
            return 1
        fi
        sleep 1
    done
}

# The coordinator's federation, once: its passphrase is made here, and opens the keys in the unit alone.
federation() {
    local passphrase=$SETTINGS/passphrase listen=$LISTEN:$PORT failed=0
    [ -e $passphrase ] || head -c 24 /dev/urandom | base64 | put $passphrase 600 root:root
    [ ! -e $STATE/server.toml ] || return 0
    install -m 600 -o gliofed $passphrase /run/gliofed-passphrase
    as gliofed env FL_PASSPHRASE_FILE=/run/gliofed-passphrase "$1/bin/fl-server" init "$ADDRESS" --listen "$listen" --database "$URL" >/dev/null ||
        failed=$?
    rm /run/gliofed-passphrase
    return "$failed"
}

# Makes a release the one that serves; what fails brings back the one before.
switch() {
    local new=$1
    OLD=$(grep . $ASIDE/from 2>/dev/null || readlink -e $PROGRAM/current || echo "$new")
    say "Trying $(basename "$new") ..."
    TOUCHED=''
    trap back EXIT
    stop
    keep_aside
    try "$new"
    configure "$new"
    point $PROGRAM/current "$new"
    start
    answers gliofed-web --unix-socket $SOCKET "http://$NAME/healthz"
    # Whose certificate it is does not matter here.
    answers "$EDGE" --insecure --resolve "$NAME:$PORT:$LISTEN" "https://$NAME:$PORT/healthz"
    trap - EXIT
    rm -rf $ASIDE
    [ "$OLD" = "$new" ] || point $PROGRAM/previous "$OLD"
}

back() {
    trap - EXIT
    systemctl stop gliofed-try 2>/dev/null || true
    if [ "$OLD" = "$WANTED" ]; then
        say "The installation did not come to its end; mend the above and run it again." >&2
        exit 1
    fi
    say "Going back to $(basename "$OLD") ..." >&2
    stop
    if [[ $TOUCHED == *tables* && $(cat $ASIDE/revision) != "$(revision)" ]]; then
        sql --execute "DROP DATABASE IF EXISTS gliofed"
        "$OLD/deploy/mariadb/accounts.sh" >/dev/null
        sql gliofed <$ASIDE/database.sql
    fi
    "$OLD/deploy/mariadb/accounts.sh" >/dev/null
    if [[ $TOUCHED == *records* && -e $ASIDE/records.db ]]; then
        rm -f $STATE/records.db{,-wal,-shm}
        install -m 600 -o gliofed -g gliofed $ASIDE/records.db $STATE/records.db
    fi
    configure "$OLD"
    point $PROGRAM/current "$OLD"
    start
    rm -rf $ASIDE
    say "$(basename "$OLD") serves again, with everything that was there. What failed is above." >&2
    exit 1
}

start() {
    local timers=(gliofed-backup.timer gliofed-verify-audit.timer)
    # The database's own backups need somebody who can open them.
    [ ! -e $SETTINGS/backup.recipients ] || timers+=(gliofed-dump.timer gliofed-binlogs.timer)
    systemctl enable --quiet "${PROGRAMS[@]}" "${timers[@]}"
    systemctl start "${PROGRAMS[@]}" "${timers[@]}"
    if [ "$ROLE" = coordinator ]; then
        systemctl disable --quiet --now nginx # the edge is an Nginx of its own
    else
        nginx -t -q
        systemctl enable --quiet nginx
        systemctl reload-or-restart nginx
    fi
}

# --- all of it -----------------------------------------------------------------------------------------------------------

exec 9>/run/gliofed-install.lock
flock --nonblock 9 || refuse "install.sh is running already" "wait for it"
packages
if [ -n "$BACK" ]; then
    WANTED=$(readlink -e $PROGRAM/previous) || refuse "There is no release before this one" "restore a backup: docs/runbook.md"
else
    WANTED=$(release)
fi
machine "$WANTED"
if [ "$(readlink -e $PROGRAM/current || true)" != "$WANTED" ] || [ -e $ASIDE ]; then
    switch "$WANTED"
else
    configure "$WANTED"
    if changed /etc/systemd/system; then systemctl try-restart "${PROGRAMS[@]}"; fi
    start
    if changed "$SITE"; then $RELOAD; fi
fi
KEPT=" $(readlink -e $PROGRAM/current) $(readlink -e $PROGRAM/previous || true) $UNPACKED "
for folder in "$PROGRAM"/releases/* "$PROGRAM"/releases/.unpacked.*; do # a GPU's takes 5 GB
    [[ $KEPT = *" $folder "* ]] || rm -rf "$folder"
done

say "$(basename "$WANTED") serves at https://$AT/app/ on $LISTEN."
todo() { # todo FILE WORDS: unless the file is there
    [ -e "$1" ] || say "  - to do: $2"
}
todo /etc/letsencrypt/renewal/gliofed-web.conf "a certificate that browsers trust: $PROGRAM/current/deploy/certbot/issue.sh $NAME MAIL"
todo $SETTINGS/backup.recipients "who can open the database's backups (docs/database.md); then install.sh again, which starts them"
[ "$(sql --execute 'SELECT COUNT(*) FROM gliofed.users')" != 0 ] ||
    todo '' "the first user: sudo fl-web create-user YOU --role administrator --data $DATA"
if [ "$ROLE" = coordinator ]; then
    [ "$(sql --execute 'SELECT COUNT(*) FROM gliofed.sites')" != 0 ] || todo '' "a copy of $SETTINGS/passphrase in a safe: without it the
    federation's keys open for nobody. Then sudo fl-server invite SITE, for each hospital"
else
    todo $STATE/pki/site.crt "sudo fl-client join INVITATION --data FOLDER --prepared $STATE/prepared, then fl-client prepare
    and check, and systemctl start gliofed-client; when a model is approved, fl-client models pull"
fi
