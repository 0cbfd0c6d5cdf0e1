# Did the server behind the socket $1 take up the configuration $2?  It says when it last took one up, which is after the
# file was written, or it refused.
set -eu

written=$(TZ=UTC date -r "$2" +%Y-%m-%dT%H:%M:%S.%N)
tries=0
while [ "$tries" -lt 20 ]; do
	loaded=$(/usr/bin/dash /usr/lib/mainstay/page.sh "$1" /varz | while read -r name value; do
		case $name in
		'"config_load_time":')
			value=${value#\"}
			echo "${value%Z*}"
			;;
		esac
	done)
	[ "$loaded" \< "$written" ] || exit 0
	tries=$((tries + 1))
	sleep 0.1
done
echo "reload: the server did not take up its configuration; its log says why (last taken up: ${loaded:-it does not say})" >&2
exit 1
