# Read the last $2 bytes of the log that the server behind the socket $1 shows, with the awk program $3; the rest are
# its variables.
set -eu

status=$(curl -sS --max-time 10 -r "-$2" -o /tmp/log -w '%{http_code}' --unix-socket "$1" http://localhost/log)
shift 2
program=$1
shift
case $status in
200) skip=0 ;; # the whole log
206) skip=1 ;; # the first line is a part of one
416) # the log is empty
	: >/tmp/log
	skip=0
	;;
*)
	echo "the server answers $status for its log" >&2
	exit 1
	;;
esac
exec mawk -f "$program" -v "skip=$skip" "$@" /tmp/log
