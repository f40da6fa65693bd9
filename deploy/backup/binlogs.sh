#!/usr/bin/env bash
# Every five minutes, as gliofed-backup: the binary logs since the newest dump, copied beside it, encrypted on their way. A log
# that MariaDB has ended is copied once; the one that it still writes is copied anew each time, and replaces its copy whole.
# shellcheck source=deploy/backup/keeping.sh
. "$(dirname "$0")/keeping.sh"

folder=$BACKUPS/database
alone_in "$folder" binlogs
newest=$(find "$folder" -mindepth 1 -maxdepth 1 -name '20*' | sort | tail -n 1)
again="Make another dump now: systemctl start gliofed-dump"
[ -n "$newest" ] || refuse "There is no dump yet that binary logs could follow" "$again"
server=(--no-defaults --socket="$SOCKET" --user="$(id -un)")
read -r first _ <"$newest/position"
began=$(date +%s) # what is committed before this is in the logs that are copied now
mapfile -t logs < <(mariadb "${server[@]}" --batch --skip-column-names --execute='SHOW BINARY LOGS' | cut -f 1)
[ "${#logs[@]}" -gt 0 ] || refuse "The binary logs cannot be listed" "See whether MariaDB runs, with deploy/mariadb/gliofed.cnf and accounts.sh"
[[ " ${logs[*]} " == *" $first "* ]] ||
    refuse "MariaDB has no longer $first, with which the newest dump goes on" "$again"
last=${logs[-1]}
while read -r copied; do
    copied=${copied%.age}
    [[ ${copied%.open} < $last || $copied == "$last.open" ]] ||
        refuse "MariaDB's binary logs were begun anew: $copied is copied, and the last is $last" "$again"
done < <(find "$newest" -name '*.[0-9]*.age' -printf '%f\n')

pipes=$(mktemp --directory)
trap 'rm -rf "$pipes" "$newest"/*.partial' EXIT

# In: a log's name, and its copy's. A named pipe stands for the file that mariadb-binlog writes: no plain copy touches a disk.
copy() {
    mkfifo "$pipes/$1"
    gzip <"$pipes/$1" | age --encrypt --recipients-file "$RECIPIENTS" --output "$newest/$2.partial" &
    local encrypting=$!
    mariadb-binlog "${server[@]}" --read-from-remote-server --raw --result-file="$pipes/" "$1" ||
        {
            exec {both}<>"$pipes/$1" {both}>&- # what still waits for the pipe to be opened sees its end
            refuse "The binary log $1 cannot be read" "See whether MariaDB runs"
        }
    wait "$encrypting"
    sync "$newest/$2.partial"
    mv "$newest/$2.partial" "$newest/$2"
    rm "$pipes/$1"
}

for log in "${logs[@]}"; do
    [[ $log < $first || -e $newest/$log.age ]] && continue
    if [ "$log" = "$last" ]; then
        copy "$log" "$log.open.age"
    else
        copy "$log" "$log.age"
        rm -f "$newest/$log.open.age"
    fi
done
echo "$began" >"$newest/reaches.partial"
mv "$newest/reaches.partial" "$newest/reaches"
sync "$newest"
tell gliofed_binlogs_last_success_seconds "Until when all changes of the database are in a backup."
