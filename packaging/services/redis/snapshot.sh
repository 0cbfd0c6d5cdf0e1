# Have the server behind the socket $1 write all its data into the data folder $2, and copy that into $3.
set -eu

fail() {
	echo "$1" >&2
	exit 1
}

while :; do
	answer=$(redis-cli -s "$1" BGSAVE)
	case $answer in
	*started*) break ;;
	# Another save, or a rewrite of the log: it ends.
	*progress* | *"try later"* | *"child process"*) sleep 0.2 ;;
	*) fail "$answer" ;;
	esac
done
while :; do
	answer=$(redis-cli -s "$1" INFO persistence)
	case $answer in
	*rdb_bgsave_in_progress:1*) sleep 0.1 ;;
	*rdb_last_bgsave_status:ok*) break ;;
	*) fail "the save failed; the server's log says why" ;;
	esac
done
cp "$2/dump.rdb" "$3/dump.rdb.part"
mv "$3/dump.rdb.part" "$3/dump.rdb"
