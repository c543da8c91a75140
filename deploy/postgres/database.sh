#!/bin/bash
# Makes role and database for gateway, indexer and settler in the PostgreSQL of this machine, lets the services in by their system
# users, without passwords, and takes from everybody what only the owner needs. Run as root; a second run changes nothing.
#
#   /usr/lib/mythic/database.sh [DATABASE]     default: mythic; more users that may come as the owner: MYTHIC_DB_USERS="sol"
set -euo pipefail
database=${1:-mythic}
[[ $database =~ ^[a-z_][a-z0-9_]*$ ]] || { echo "A database's name has letters, digits and _: $database" >&2; exit 2; }

sql() { runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

version=$(sql -c 'SHOW server_version_num')
[ "$version" -ge 150000 ] || { echo "PostgreSQL 15 or later is needed; this server is $(sql -c 'SHOW server_version')" >&2; exit 1; }

# CREATEROLE: the indexer makes the analysts' role mythic_reader.
[ "$(sql -c "SELECT count(*) FROM pg_roles WHERE rolname = 'mythic'")" = 1 ] || sql -c 'CREATE ROLE mythic LOGIN CREATEROLE'
[ "$(sql -c "SELECT count(*) FROM pg_database WHERE datname = '$database'")" = 1 ] || sql -c "CREATE DATABASE $database OWNER mythic"

# Which system users may come as `mythic`: lines of ours, made anew, before all others, so that the first that fits is ours.
own() { # file, lines
    local marked
    marked=$(printf '# mythic begin\n%s\n# mythic end\n' "$2"; sed '/^# mythic begin$/,/^# mythic end$/d' "$1")
    printf '%s\n' "$marked" | cat >"$1"
}
users="mythic-gateway mythic-indexer mythic-settler root ${MYTHIC_DB_USERS:-}"
own "$(sql -c 'SHOW ident_file')" "$(for user in $users; do echo "mythic $user mythic"; done)"
own "$(sql -c 'SHOW hba_file')" "local all mythic peer map=mythic"
sql -c 'SELECT pg_reload_conf()' >/dev/null

sql -d "$database" <<SQL
REVOKE ALL ON DATABASE $database FROM PUBLIC;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO mythic;
DO \$\$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~
        '^(lo_.*|loread|lowrite|pg_(try_)?advisory_.*|pg_notify|pg_cancel_backend|pg_terminate_backend|pg_logical_emit_message|pg_export_snapshot|pg_current_xact_id|txid_current)\$' LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
    FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~
        '^(pg_(try_)?advisory_.*|pg_notify|pg_terminate_backend)\$' LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO mythic', f);
    END LOOP;
END \$\$;
SQL
echo "Database $database is ready: database_url = \"host=/run/postgresql user=mythic dbname=$database\""
