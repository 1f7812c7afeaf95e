#!/bin/sh
# pgBackRest with the repository's secrets in its environment, which only its own user can read;
# neither its configuration nor its arguments hold one.
set -eu
secret() { [ ! -r "/run/secrets/$2" ] || export "$1=$(cat "/run/secrets/$2")"; }
secret PGBACKREST_REPO1_CIPHER_PASS backup_cipher_key
secret PGBACKREST_REPO1_S3_KEY backup_s3_key
secret PGBACKREST_REPO1_S3_KEY_SECRET backup_s3_key_secret
exec pgbackrest --stanza=atlas "$@"
