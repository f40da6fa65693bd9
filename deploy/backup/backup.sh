#!/usr/bin/env bash
# Every night, as gliofed: a backup of the whole server, older ones pruned, and the newest tried by a drill. What fails ends
# it with an exit code that is not 0, and leaves the older backups.
# shellcheck source=deploy/backup/keeping.sh
. "$(dirname "$0")/keeping.sh"

folder=$BACKUPS/web
alone_in "$folder" backup

# fl-web gives a backup its name only after it has read it again.
"$PROGRAM/fl-web" backup --data "$DATA" --to "$folder/$(date +%F-%H%M%S).backup"
tell gliofed_backup_last_success_seconds "When a backup of fl-web was last made and read again."
prune "$folder" '20*.backup'

newest=$(find "$folder" -maxdepth 1 -name '20*.backup' | sort | tail -n 1)
"$PROGRAM/fl-web" restore "$newest" --data "$DATA" --drill
tell gliofed_drill_last_success_seconds "When the newest backup of fl-web was last restored on trial."
