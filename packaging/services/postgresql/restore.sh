# Make a new cluster in the data folder $1 of the dump in the snapshot $2, while no server runs, and put it in the place of
# main.  Cut off anywhere, it is done again from its beginning.
set -eu
bin=/usr/lib/postgresql/15/bin
new=$1/main.new

# Of this server nobody else knows: its socket is in /tmp, which is the sandbox's own.
stop() {
	kill -INT "$server" 2>/dev/null || :
	wait "$server" || :
}

rm -rf "$new"
$bin/initdb --pgdata="$new" --username=postgres --auth=peer --encoding=UTF8 --locale=C.UTF-8 --data-checksums --no-instructions --no-sync
echo "local all postgres trust" >"$new/restore_hba.conf"
$bin/postgres -D "$new" -c hba_file="$new/restore_hba.conf" -c listen_addresses= -c unix_socket_directories=/tmp -c fsync=off \
	-c shared_buffers=32MB -c dynamic_shared_memory_type=mmap -c log_min_error_statement=panic &
server=$!
trap stop EXIT
tries=0
until $bin/psql -X -q -w -h /tmp -U postgres -d postgres -c 'SELECT 1' >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] && kill -0 "$server"
	sleep 0.2
done
# The dump makes the superuser, too, who is there already; any other error is one.
said=$($bin/psql -X -q -w -h /tmp -U postgres -d postgres -f "$2/all.sql" 2>&1 >/dev/null) || :
case $said in
*ERROR*ERROR* | *FATAL* | *"could not"*) wrong=yes ;;
*'ERROR:  role "postgres" already exists') wrong= ;;
*) wrong=yes ;;
esac
if [ "$wrong" ]; then
	echo "$said" >&2
	stop
	trap - EXIT
	rm -rf "$new"
	exit 1
fi
trap - EXIT
stop
rm "$new/restore_hba.conf"
$bin/initdb --sync-only --pgdata="$new"
rm -rf "$1/main.old"
[ ! -d "$1/main" ] || mv "$1/main" "$1/main.old"
mv "$new" "$1/main"
rm -rf "$1/main.old"
