#!/bin/sh
# The one-shot service `secrets`:
#   secrets            generate what is missing, take over what the operator gave, hand out copies
#   secrets show NAME  print one secret (docker compose run --rm -T secrets show atlas_password)
# Everything is in one volume that only the services `secrets` and `schema` see. Every other
# service gets a volume of its own with the secrets that it needs: what a container cannot see, it
# cannot leak.
set -eu

all=/secrets/all
given=/given
names='postgres_password atlas_password migrator_password
    mcp_read_password mcp_write_password mcp_heal_password
    mcp_audit_password mcp_token mcp_context_key backup_cipher_key'
# Not ours to generate.
optional='backup_s3_key backup_s3_key_secret'

fail() { printf 'secrets: %s\n' "$1" >&2; exit "${2:-2}"; }

known() {
    for candidate in $names $optional; do [ "$candidate" = "$1" ] && return; done
    return 1
}

# write FILE MODE: standard input into FILE, unless that is what it holds; never half a file.
write() {
    draft=$1.draft
    rm -f "$draft"
    (umask 077 && cat >"$draft")
    if [ -e "$1" ] && cmp -s "$draft" "$1"; then rm -f "$draft"; return; fi
    chmod "$2" "$draft"
    mv -f "$draft" "$1"
}

take_given() {
    for file in "$given"/*; do
        name=${file##*/}
        [ -f "$file" ] && [ "$name" != README.md ] || continue
        known "$name" || { echo "secrets: $name is no secret of ours, ignored"; continue; }
        [ -r "$file" ] || fail "cannot read the given $name; let user 10001 read it (chmod 0444 \
in a folder that only you can enter)"
        [ -s "$file" ] || fail "the given $name is empty; write the secret into it or remove it"
        write "$all/$name" 600 <"$file"
        echo "secrets: $name as given"
    done
}

# hand_out AUDIENCE NAME...: group-readable copies, since postgres runs as another user.
hand_out() {
    to=/secrets/$1
    shift
    for name in "$@"; do write "$to/$name" 440 <"$all/$name"; done
}

# What was given of the optional ones.
hand_out_optional() {
    for name in $optional; do [ ! -e "$all/$name" ] || hand_out "$1" "$name"; done
}

case ${1:-init} in
    init)
        [ -w "$all" ] || fail "cannot write the volume of secrets as user $(id -u)"
        take_given
        python -m database secrets --directory "$all"
        hand_out postgres postgres_password backup_cipher_key
        hand_out backup postgres_password backup_cipher_key
        hand_out_optional postgres
        hand_out_optional backup
        hand_out migrate migrator_password
        hand_out mcp mcp_read_password mcp_write_password mcp_heal_password \
            mcp_audit_password mcp_token mcp_context_key
        ;;
    show)
        known "${2:-}" || fail "show which one? $names"
        [ -e "$all/$2" ] || fail "there is no $2 yet; run docker compose up first"
        cat "$all/$2"
        ;;
    *) fail "unknown command '$1'; use it without arguments, or: show NAME" ;;
esac
