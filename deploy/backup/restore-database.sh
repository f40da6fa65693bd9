#!/usr/bin/env bash
# Brings the database back as it was at a moment, into a MariaDB that has none of that name. As root on its machine, with the
# programs stopped. Afterwards: accounts.sh, and what docs/database.md says.
#
#     restore-database.sh --until '2026-11-27 09:41:00' --identity FILE
#
#     --until      UTC, as all times in GlioFed's log; everything before this second, and nothing of it
#     --identity   the secret half of age-keygen; bring it on a stick, and take it away again
# shellcheck source=deploy/backup/keeping.sh
. "$(dirname "$0")/keeping.sh"

until="" identity=""
while [ $# -gt 1 ]; do
    case $1 in
    --until) until=$2 ;;
    --identity) identity=$2 ;;
    *) break ;;
    esac
    shift 2
done
[[ $# = 0 && -n $until && -n $identity ]] ||
    refuse "Usage: restore-database.sh --until 'YYYY-MM-DD HH:MM:SS' --identity FILE" "Times are UTC"
no_time=("'$until' is no time" "Write 'YYYY-MM-DD HH:MM:SS', in UTC")
[[ $until =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}\ [0-9]{2}:[0-9]{2}:[0-9]{2}$ ]] || refuse "${no_time[@]}"
moment=$(date --date="$until" +%s) || refuse "${no_time[@]}"
[ -r "$identity" ] || refuse "The identity $identity cannot be read" "Bring the file that age-keygen wrote"

base=""
for folder in "$BACKUPS/database"/20*; do
    name=$(basename "$folder")
    dumped=$(date --date="${name:0:10} ${name:11:2}:${name:13:2}:${name:15:2}" +%s 2>/dev/null) || continue
    [ "$dumped" -ge "$moment" ] || base=$folder
done
[ -n "$base" ] || refuse "No dump in $BACKUPS/database is older than $until" "Choose a later moment; dumps: $(cd "$BACKUPS/database" && echo 20*)"
reaches=$(cat "$base/reaches" 2>/dev/null || echo 0)
[ "$moment" -le "$reaches" ] ||
    refuse "The binary logs after $(basename "$base") reach until $(date --date="@$reaches" '+%F %T'), not until $until" "Choose that moment, or an earlier one"

work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
open() { age --decrypt --identity "$identity" "$1" | gunzip; }

# All is read before anything is written: age tells a file that was cut, changed, or is for another identity.
open "$base/base.sql.gz.age" | tail -n 1 | grep -q '^-- Dump completed' ||
    refuse "The dump $base is damaged, or not for this identity; nothing has changed" "Take an earlier moment, which has another dump, or a copy of this one"
read -r first position <"$base/position"
logs=()
for file in "$base"/*.[0-9]*.age; do
    log=$(basename "$file" .age)
    log=${log%.open}
    # One that was copied twice, the second time whole, is taken whole.
    [ "$file" = "$base/$log.age" ] || [ ! -e "$base/$log.age" ] || continue
    open "$file" >"$work/$log" || refuse "The binary log $file is damaged; nothing has changed" "Take a moment before it, or a copy of it"
    logs+=("$work/$log")
done
number=${first##*.}
for log in "${logs[@]}"; do
    [ "$((10#${log##*.}))" = "$((10#$number))" ] || refuse "The binary log ${first%.*}.$number is missing in $base; nothing has changed" "Take a moment before it"
    number=$(printf '%06d' $((10#$number + 1)))
done

sql() { mariadb --no-defaults --user=root --socket="$SOCKET" --binary-mode --default-character-set=utf8mb4 "$@"; }
tables() { sql --batch --skip-column-names --execute="SELECT table_name FROM information_schema.tables WHERE table_schema = '$DATABASE' $1"; }
found=$(tables "") || refuse "MariaDB cannot be used" "Run this as root on its machine; SOCKET in $SETTINGS names its socket"
if [ -n "$found" ] && [ -z "$(tables "AND table_name = 'restoring'")" ]; then
    refuse "The database $DATABASE is not empty; nothing has changed" "Restore into another MariaDB, or rename its tables' database first"
fi

# For as long as this table is there, no program takes the others for whole; a restore that was ended begins anew.
sql --execute="DROP DATABASE IF EXISTS \`$DATABASE\`; CREATE DATABASE \`$DATABASE\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; CREATE TABLE \`$DATABASE\`.restoring (id INT)"
open "$base/base.sql.gz.age" | sql
mariadb-binlog --no-defaults --database="$DATABASE" --start-position="$position" --stop-datetime="$until" "${logs[@]}" | sql
sql --execute="DROP TABLE \`$DATABASE\`.restoring"
events=$(sql --batch --skip-column-names --execute="SELECT concat(seq, ' events') FROM \`$DATABASE\`.audit_head")
echo "The database $DATABASE is as it was before $until UTC, with $events in its log."
echo "Next: deploy/mariadb/accounts.sh, fl-web accept-restore as gliofed, systemctl start gliofed-dump, then the programs."
