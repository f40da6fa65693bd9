#!/usr/bin/env bash
# Makes the database and its three accounts, each with exactly the rights below; run twice, it gives the same. As root on
# MariaDB's machine, at the first installation and, with the programs stopped, before each upgrade of the tables.
#
#     accounts.sh               for programs on this machine: a Linux account is the database's of the same name, no password
#     accounts.sh 10.0.0.7      for programs on that machine: TLS, and passwords made here, in $SECRETS (0600, root's)
set -euo pipefail
umask 077

DATABASE=${DATABASE:-gliofed}
APPLICATION=${APPLICATION:-gliofed} # fl-web and fl-server
OWNER=${OWNER:-gliofed-owner}       # changes tables: fl-web upgrade-database
BACKUP=${BACKUP:-gliofed-backup}    # deploy/backup/dump.sh and binlogs.sh
SOCKET=${SOCKET:-/run/mysqld/mysqld.sock}
SECRETS=${SECRETS:-/etc/gliofed/secrets}
HOST=${1:-}

# What the application may do with each table beside reading it. Nothing is deleted but sessions that have ended, and
# patients at their erasure; of the audit log nothing is changed either.
RIGHTS="
audit_events  INSERT
audit_head    UPDATE
log_entries   INSERT
rounds        INSERT
sites         INSERT, UPDATE
invitations   INSERT, UPDATE
certificates  INSERT, UPDATE
studies       INSERT, UPDATE
offers        INSERT, UPDATE
runs          INSERT, UPDATE
presences     INSERT, UPDATE
efforts       INSERT, UPDATE
versions      INSERT, UPDATE
users         INSERT, UPDATE
credentials   INSERT, UPDATE, DELETE
patients      INSERT, UPDATE, DELETE
predictions   INSERT, UPDATE
feedback      INSERT, UPDATE
tallies       INSERT, UPDATE
"

refuse() {
    printf '%s\n' "$@" >&2
    exit 1
}

for name in "$DATABASE" "$APPLICATION" "$OWNER" "$BACKUP"; do
    [[ $name =~ ^[a-z][a-z0-9_-]{0,31}$ ]] || refuse "'$name' is no name for an account or database: small letters, digits, _ and -"
done
[[ $HOST =~ ^[0-9A-Fa-f.:]*$ ]] || refuse "'$HOST' is no IP address" "Name the machine by its address: MariaDB looks no name up"

# How an account proves who it is, as SQL. A password that was made before is kept.
proof() {
    if [ -z "$HOST" ]; then
        echo "IDENTIFIED VIA unix_socket"
        return
    fi
    local file=$SECRETS/$1.password
    mkdir -p "$SECRETS"
    if [ ! -s "$file" ]; then
        head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$file.partial"
        mv "$file.partial" "$file"
    fi
    echo "IDENTIFIED BY '$(cat "$file")' REQUIRE SSL"
}

statements() {
    local from=${HOST:-localhost} all=${DATABASE//_/\\_} table rights
    local application="'$APPLICATION'@'$from'" owner="'$OWNER'@'$from'" backup="'$BACKUP'@'$from'"
    echo "SET sql_log_bin = 0;" # no password in the binary log, and so in no backup
    echo "CREATE DATABASE IF NOT EXISTS \`$DATABASE\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"
    echo "CREATE OR REPLACE USER $application $(proof "$APPLICATION");" # replaced, it has no right from before
    echo "CREATE OR REPLACE USER $owner $(proof "$OWNER");"
    echo "CREATE OR REPLACE USER $backup $(proof "$BACKUP");"
    # Of the whole database, so that it is told that a table is not there, instead of that it may not know.
    echo "GRANT SELECT ON \`$all\`.* TO $application;"
    while read -r table rights; do
        [ -n "$table" ] || continue
        # With CREATE for a moment: MariaDB then takes a right on a table that the owner has yet to make.
        echo "GRANT CREATE, $rights ON \`$DATABASE\`.\`$table\` TO $application;"
        echo "REVOKE CREATE ON \`$DATABASE\`.\`$table\` FROM $application;"
    done <<<"$RIGHTS"
    echo "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER ON \`$all\`.* TO $owner;"
    # TRIGGER: else they are not in the dump. It could drop one, and still change no row.
    echo "GRANT SELECT, SHOW VIEW, TRIGGER ON \`$all\`.* TO $backup;"
    echo "GRANT BINLOG MONITOR, REPLICATION SLAVE ON *.* TO $backup;"
}

sql=$(statements)
mariadb --no-defaults --batch --user=root --socket="$SOCKET" <<<"$sql" ||
    refuse "The accounts were not made" "Run this as root on MariaDB's machine; SOCKET names its socket if it is not $SOCKET"
echo "The database $DATABASE and the accounts $APPLICATION, $OWNER and $BACKUP are ready${HOST:+ for $HOST, over TLS; passwords are in $SECRETS}."
echo "Next, as $OWNER: fl-web upgrade-database, which makes or upgrades the tables; then start the programs as $APPLICATION."
