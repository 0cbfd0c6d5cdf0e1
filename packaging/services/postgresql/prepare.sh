# Make an empty cluster in the folder $1.
#
# Who is who: the service's own user is postgres (superuser) and mainstay_look (statistics, no data) by its uid on the
# socket; the collector is mainstay_metrics and the customer's programs are app by the passwords that start.sh sets.
set -eu
bin=/usr/lib/postgresql/15/bin

$bin/initdb --pgdata="$1" --username=postgres --auth=peer --encoding=UTF8 --locale=C.UTF-8 --data-checksums --no-instructions
$bin/postgres --single -D "$1" postgres <<'SQL'
CREATE ROLE mainstay_look LOGIN CONNECTION LIMIT 12 IN ROLE pg_monitor;
CREATE ROLE mainstay_metrics LOGIN CONNECTION LIMIT 4 IN ROLE pg_monitor;
CREATE ROLE app LOGIN;
CREATE DATABASE app OWNER app;
REVOKE ALL ON DATABASE app FROM PUBLIC;
GRANT CONNECT ON DATABASE app TO mainstay_look;
SQL
