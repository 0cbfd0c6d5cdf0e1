# Run the command that follows the file $1, which holds a user's line, as that user of the server; the rest are
# redis-cli's own arguments.  The password is in no argument; a command that the server refuses is a failure.
set -eu

read -r _ user _ password _ <"$1" || [ -n "$password" ]
shift
export REDISCLI_AUTH="${password#>}"
exec redis-cli -e --user "$user" "$@"
