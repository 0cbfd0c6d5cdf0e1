# Start nginx with what follows the run folder $1.  A server that was killed leaves its sockets, and nginx does not take
# the place of one.
set -eu
rm -f "$1/www.sock" "$1/status.sock"
shift
exec /usr/sbin/nginx "$@"
