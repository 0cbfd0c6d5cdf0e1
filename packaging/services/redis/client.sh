# Say who the client $2 of the server behind the socket $1 is; with the file of a user's line as $3, end its connection.
set -eu

fail() {
	echo "$1" >&2
	exit 1
}

if [ $# -eq 3 ]; then
	ended=$(/usr/bin/dash /usr/lib/mainstay/as.sh "$3" -s "$1" CLIENT KILL ID "$2")
	[ "$ended" = 1 ] || fail "there is no client $2 (any more)"
	echo "client $2 is cut off"
	exit 0
fi
# What changes from one moment to the next, like how long it has been idle, is left out.
client=$(redis-cli -e -s "$1" CLIENT LIST ID "$2")
[ -n "$client" ] || fail "there is no client $2"
set -f
for field in $client; do
	case $field in
	id=* | addr=* | laddr=* | fd=* | name=* | user=*) echo "$field" ;;
	esac
done
