#!/bin/sh
# Starts Postgres in $PGDATA, which is made if it is empty; whoever it lets in, it lets in by any address.
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
user=${POSTGRES_USER:-postgres}
method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  secret=$(mktemp)
  printf '%s' "${POSTGRES_PASSWORD:-}" >"$secret"
  set -- --pgdata="$PGDATA.new" --username="$user" --auth="$method" --encoding=UTF8 --locale=C
  [ -s "$secret" ] && set -- "$@" --pwfile="$secret"
  initdb "$@" >/dev/null
  rm "$secret"
  echo "host all all all $method" >>"$PGDATA.new/pg_hba.conf"
  [ "$user" = postgres ] || echo "CREATE DATABASE \"$user\"" | postgres --single -D "$PGDATA.new" postgres >/dev/null
  mkdir -p "$PGDATA"
  mv "$PGDATA.new"/* "$PGDATA"
fi
chmod 0700 "$PGDATA"
exec postgres -D "$PGDATA" -c listen_addresses='*' -c max_connections=300
