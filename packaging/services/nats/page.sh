# Show the monitoring page $2 of the server behind the socket $1; any answer but 200 is a failure.
set -eu

printf 'GET %s HTTP/1.0\r\n\r\n' "$2" | socat -t 8 - "UNIX-CONNECT:$1" | {
	read -r _ status _
	while IFS= read -r line && [ ${#line} -gt 1 ]; do
		:
	done
	cat
	echo
	[ "$status" = 200 ]
}
