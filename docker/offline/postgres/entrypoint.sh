#!/usr/bin/env bash
# The part of the official postgres image's contract that this project uses:
#   POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD (each also as ..._FILE), POSTGRES_INITDB_ARGS,
#   POSTGRES_HOST_AUTH_METHOD, PGDATA, /docker-entrypoint-initdb.d (.sh, .sql, .sql.gz), arguments
#   handed to postgres, root dropped to uid 999, any other user kept.
# An empty PGDATA is initialised by a server that listens on its socket only, so whoever reaches
# the TCP port reaches a finished database.
set -Eeo pipefail
shopt -s nullglob

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# NAME or NAME_FILE, never both; then the default.
from_file() {
    local name=$1 file_name=$1_FILE default=${2:-} value
    [ -z "${!name:-}" ] || [ -z "${!file_name:-}" ] || fail "both $name and $file_name are set"
    value=${!name:-$default}
    if [ -n "${!file_name:-}" ]; then
        value=$(<"${!file_name}") || fail "cannot read $file_name"
    fi
    export "$name"="$value"
    unset "$file_name"
}

make_directories() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 00700 "$PGDATA" || :
    # Not ours to change where it is a tmpfs of somebody else's making.
    chmod 03775 /var/run/postgresql 2>/dev/null || :
    if [ "$(id -u)" = 0 ]; then
        find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
    fi
}

init_database() {
    # The password reaches initdb through a pipe: neither argv nor a file on disk shows it.
    eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"' >&2'
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-$(auth_method)}" >>"$PGDATA/pg_hba.conf"
}

auth_method() { postgres -C password_encryption 2>/dev/null || echo scram-sha-256; }

psql_local() {
    PGHOST='' PGHOSTADDR='' PGPASSWORD="$POSTGRES_PASSWORD" psql -v ON_ERROR_STOP=1 \
        --no-psqlrc --username "$POSTGRES_USER" --no-password "$@"
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        echo "running $file"
        case $file in
            *.sh)
                # As in the official image: run when executable, else sourced.
                # shellcheck source=/dev/null
                if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
            *.sql) psql_local --dbname "$POSTGRES_DB" -f "$file" ;;
            *.sql.gz) gunzip -c "$file" | psql_local --dbname "$POSTGRES_DB" ;;
            *) echo "ignoring $file" ;;
        esac
    done
}

first_start() {
    [ -n "$POSTGRES_PASSWORD" ] || [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ] ||
        fail 'POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE must be set for a new database'
    init_database
    # shift: "$@" is "postgres -c ...", pg_ctl wants what follows the name.
    shift
    NOTIFY_SOCKET='' pg_ctl -D "$PGDATA" -w start \
        -o "$(printf '%q ' "$@" -c listen_addresses='' -p 5432)"
    if [ "$POSTGRES_DB" != postgres ]; then
        psql_local --dbname postgres --set db="$POSTGRES_DB" <<<'create database :"db";'
    fi
    run_init_files
    pg_ctl -D "$PGDATA" -m fast -w stop
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

main() {
    # "-c name=value" alone means the server with these arguments.
    if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
    if [ "$1" = postgres ]; then
        make_directories
        if [ "$(id -u)" = 0 ]; then
            exec setpriv --reuid postgres --regid postgres --init-groups "${BASH_SOURCE[0]}" "$@"
        fi
        if [ ! -s "$PGDATA/PG_VERSION" ]; then
            from_file POSTGRES_PASSWORD
            from_file POSTGRES_USER postgres
            from_file POSTGRES_DB "$POSTGRES_USER"
            from_file POSTGRES_INITDB_ARGS
            export PGUSER=$POSTGRES_USER
            first_start "$@"
            unset POSTGRES_PASSWORD PGUSER
        else
            printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
        fi
    fi
    exec "$@"
}

main "$@"
