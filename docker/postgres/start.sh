#!/bin/bash
# Starts PostgreSQL in its volume, with what the official entrypoint does before.
# A process number of another container says nothing here, so PostgreSQL itself would not notice a
# second server on the same volume, or a restore that is at work in it: both hold this lock.
set -eu

volume=/var/lib/postgresql/data
swap=$volume/swap.json

fail() { printf 'postgres: %s\n' "$1" >&2; exit 1; }

# A restore that was killed in its last step: what is missing are renames (database/embedded).
finish_swap() {
    local new old
    new=$(sed -E 's/^\["([^"]*)", .*$/\1/' "$swap")
    old=$(sed -nE 's/^.*, "([^"]*)"\]$/\1/p' "$swap")
    if [ -e "$new" ]; then
        if [ -e "$PGDATA" ]; then
            if [ -n "$old" ]; then mv "$PGDATA" "$old"; else rmdir "$PGDATA"; fi
        fi
        mv "$new" "$PGDATA"
    fi
    rm "$swap"
}

# Volumes from before backups hold the cluster itself, not a folder with it.
move_into_folder() {
    local draft=$volume/.moving
    [ -d "$draft" ] || mkdir -m 0700 "$draft"
    find "$volume" -mindepth 1 -maxdepth 1 ! -name .moving ! -name .running \
        ! -name PG_VERSION -exec mv -t "$draft" {} +
    # The last one: it is what says that there is something to move.
    mv "$volume/PG_VERSION" "$draft/"
    mv "$draft" "$PGDATA"
    echo "postgres: moved the cluster into $PGDATA"
}

exec 9>>"$volume/.running"
flock --exclusive --nonblock 9 ||
    fail "another server, or a restore, is at work in this volume; wait until it has ended"
[ ! -e "$swap" ] || finish_swap
[ ! -e "$volume/PG_VERSION" ] || move_into_folder
[ -e "$PGDATA" ] || [ ! -e "$volume/.moving/PG_VERSION" ] || mv "$volume/.moving" "$PGDATA"
# The lock goes with the last process that has inherited it.
exec docker-entrypoint.sh "$@"
