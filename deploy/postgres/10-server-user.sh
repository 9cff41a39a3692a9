#!/bin/sh
# Makes the user as whom the server connects. It owns nothing: migrating gives it the role that sees one tenant at a time.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$TRUNKLINE_DB_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
create role trunkline login password :'password';
SQL
