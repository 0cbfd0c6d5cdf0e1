# Have the running server read its configuration again, if it is one that a start would take: the server itself would keep
# the old value of a setting that it does not take, say so in its log alone, and not start again later.
# $1 the data folder, $2 that of the configuration, $3 that of the socket, $4 the port
set -eu
bin=/usr/lib/postgresql/15/bin

$bin/postgres -C config_file -D "$1" -c config_file="$2/postgresql.conf" >/dev/null
exec $bin/psql -X -q -w -t -v ON_ERROR_STOP=1 -d "host=$3 port=$4 dbname=postgres user=postgres" -c 'SELECT pg_reload_conf()'
