# shellcheck shell=bash
# What the backup scripts share; sourced by them.
set -euo pipefail
umask 077
export LC_ALL=C TZ=UTC

SETTINGS=${SETTINGS:-/etc/gliofed/backup.env}

refuse() {
    printf '%s\n' "$@" >&2
    exit 1
}

[ -r "$SETTINGS" ] || refuse "The settings $SETTINGS cannot be read" "Copy deploy/backup/backup.env there"
# shellcheck source=deploy/backup/backup.env
. "$SETTINGS"
[[ $KEEP_DAYS =~ ^[1-9][0-9]*$ && $KEEP_WEEKS =~ ^[0-9]+$ ]] || refuse "KEEP_DAYS and KEEP_WEEKS are no numbers" "Write KEEP_DAYS=14"

# Lets one script of a name at a time work in a folder; the lock ends with it. In: the folder, and the name.
alone_in() {
    [ -d "$1" ] || refuse "There is no folder $1" "Mount the disk for backups: it is not made, so that no other disk is filled"
    exec {lock}>"$1/.lock-$2"
    flock --wait 240 "$lock" || refuse "Another $2.sh has been at work in $1 for four minutes" "Wait for it"
}

# Deletes what is neither of the last KEEP_DAYS days that have a backup nor the last of the last KEEP_WEEKS weeks.
# In: a folder, whose backups' names begin with their day, and a pattern of their names.
prune() {
    local name day week days=0 weeks=0 this_day="" this_week=""
    while read -r name; do
        day=${name:0:10}
        week=$(date --date="$day" +%G-%V)
        local keep=no
        if [ "$week" != "$this_week" ]; then
            this_week=$week weeks=$((weeks + 1))
            [ "$weeks" -gt "$KEEP_WEEKS" ] || keep=yes
        fi
        [ "$day" = "$this_day" ] || days=$((days + 1))
        this_day=$day
        [ "$days" -gt "$KEEP_DAYS" ] || keep=yes
        [ $keep = yes ] || rm -rf "${1:?}/$name"
    done < <(cd "$1" && find . -mindepth 1 -maxdepth 1 -name "$2" -printf '%f\n' | sort --reverse)
}

# Tells Prometheus that something has just succeeded. In: the metric's name, and what it is.
tell() {
    local file=$METRICS/$1.prom
    printf '# HELP %s %s\n# TYPE %s gauge\n%s %s\n' "$1" "$2" "$1" "$1" "$(date +%s)" >"$file.partial"
    chmod 644 "$file.partial" # node_exporter is another account
    mv "$file.partial" "$file"
}
