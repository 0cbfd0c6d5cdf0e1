# Have the server behind the socket $1 take up the settings of its configuration $2 that need no start, all or none, as
# the user whose line is in the file $3.
set -eu

read -r _ _ _ password _ <"$3" || [ -n "$password" ]
settings=
while read -r name value; do
	case $name in
	maxmemory | maxmemory-policy | appendonly | appendfsync | maxclients | timeout | slowlog-log-slower-than | notify-keyspace-events)
		settings="$settings $name $value"
		;;
	esac
done <"$2"
# The file's texts are quoted as redis-cli reads them; no password is an argument.
answer=$(printf 'AUTH admin %s\nCONFIG SET%s\n' "${password#>}" "$settings" | redis-cli -s "$1")
[ "$answer" = "OK
OK" ] || {
	echo "$answer" >&2
	exit 1
}
