#!/bin/sh
# Runs the trial to its end, looks whether its networks keep the hospitals apart, and removes all of it but the image.
set -eu
cd "$(dirname "$0")"
compose() { docker compose --file compose.yaml "$@"; }
reaches() { compose exec -T south python /trial/reaches.py "$1"; }
fail() {
    echo "$1" >&2
    exit 1
}
trap 'compose down --volumes --timeout 5' EXIT

compose up --detach
compose wait north-visit
compose logs --no-log-prefix study north-visit

address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(compose ps --quiet north)")
reaches coordinator || fail "south does not reach the coordinator"
! reaches "$address" || fail "south reaches north at $address"
! compose exec -T south grep -P '^\S+\t00000000\t' /proc/net/route || fail "south has a way to the Internet"
compose exec -T coordinator fl-server verify
compose exec -T north fl-client verify
compose exec -T south fl-client verify
echo "south reaches the coordinator, and neither north nor the Internet."
