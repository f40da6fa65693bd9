#!/usr/bin/env bash
# Every night, as gliofed-backup: a dump of the database, from which the binary logs that binlogs.sh copies lead to any later
# moment. It is encrypted before it reaches the disk, for keys that are not on this machine.
#
#     BACKUPS/database/2026-11-27-020007/     named by the second, UTC, in which it was complete
#         base.sql.gz.age
#         position                            the binary log, and the place in it, where the dump's state ends
#         binlog.000041.age ...               what came after; binlog.000042.open.age is still being written
#         reaches                             until when they are complete: seconds of Unix time
# shellcheck source=deploy/backup/keeping.sh
. "$(dirname "$0")/keeping.sh"

folder=$BACKUPS/database
alone_in "$folder" dump
[ -s "$RECIPIENTS" ] || refuse "There are no recipients in $RECIPIENTS" "Write the public line of age-keygen there"
rm -rf "$folder"/.partial-* # of one that was killed
partial=$(mktemp --directory "$folder/.partial-XXXXXX")
trap 'rm -rf "$partial"' EXIT

# Of what passes, these two lines are kept.
mkfifo "$partial/pipe"
sed -n -e "1,60s/^-- CHANGE MASTER TO MASTER_LOG_FILE='\(.*\)', MASTER_LOG_POS=\([0-9]*\);$/\1 \2/p" -e '$p' \
    <"$partial/pipe" >"$partial/ends" &
looking=$!

# One state of all tables, without stopping anybody. Its last line proves that nothing is missing: where a connection breaks,
# some releases of mariadb-dump end with 0.
mariadb-dump --no-defaults --socket="$SOCKET" --user="$(id -un)" --single-transaction --quick --routines --triggers \
    --hex-blob --master-data=2 --default-character-set=utf8mb4 --databases "$DATABASE" |
    tee "$partial/pipe" | gzip | age --encrypt --recipients-file "$RECIPIENTS" --output "$partial/base.sql.gz.age"
wait "$looking"
grep -q '^-- Dump completed' "$partial/ends" || refuse "The dump is not complete" "See whether MariaDB runs, and look into its log"
grep -E '^[^ ]+\.[0-9]+ [0-9]+$' "$partial/ends" >"$partial/position" || refuse "The dump does not know its place in the binary log" "Install deploy/mariadb/gliofed.cnf, which has one written"
rm "$partial/ends" "$partial/pipe"
complete=$(date +%F-%H%M%S)

# The dump before this one gets all binary logs up to here, so that no moment lies between the two. Where that fails, this
# one is the way out.
[ -z "$(find "$folder" -maxdepth 1 -name '20*')" ] || "$(dirname "$0")/binlogs.sh" ||
    echo "Some of the time before $complete cannot be restored" >&2
sync "$partial"/* "$partial"
mv --no-target-directory "$partial" "$folder/$complete"
sync "$folder"
"$(dirname "$0")/binlogs.sh"
tell gliofed_dump_last_success_seconds "When the database was last dumped."
prune "$folder" '20*'
