# Say which stream is called $2, or with $3 which consumer of it, by what the server behind the socket $1 shows: what
# stays the same while messages come and go.  A string on that page has no end of a line in it, so how far a line is
# indented tells what it belongs to: ten spaces to a stream, twelve to its configuration, fourteen to a consumer.
set -eu

/usr/bin/dash /usr/lib/mainstay/page.sh "$1" '/jsz?streams=1&consumers=1&config=1' >/tmp/page
of= it= shown=
while IFS= read -r line; do
	case ${line%,} in
	'          "name": "'"$2"'"') of=yes ;;
	'          "name": '*) of= ;;
	'              "name": "'"${3-}"'"') it=$of ;;
	'              "name": '*) it= ;;
	esac
	case $line in
	'          "created": '*)
		[ $# -gt 2 ] || [ -z "$of" ] || shown="stream $2, created ${line#*: }"
		;;
	'            "retention": '* | '            "storage": '*)
		[ $# -gt 2 ] || [ -z "$of" ] || shown="$shown ${line#"${line%%[! ]*}"}"
		;;
	'              "created": '*)
		[ $# -lt 3 ] || [ -z "$it" ] || shown="consumer $3 of stream $2, created ${line#*: }"
		;;
	esac
done </tmp/page
[ "$shown" ] || {
	echo "there is no stream $2${3:+ with a consumer $3}" >&2
	exit 1
}
echo "${shown%,}"
