#!/bin/sh
# Run by the postgres image once, when it makes the database: the two roles, with their passwords from secret files.
set -eu
psql -qX -v ON_ERROR_STOP=1 --username postgres --dbname "$POSTGRES_DB" \
    -v owner_password="$(cat /run/secrets/owner_password)" \
    -v app_password="$(cat /run/secrets/app_password)" \
    -f /roles.sql
