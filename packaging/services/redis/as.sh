# Run redis-cli, with the arguments that follow the file $1, as the user whose line is in that file.  The password is in no
# argument: redis-cli takes it from there or from its environment alone, which in an operation's own sandbox nobody
# else's process sees.  A command that the server refuses is a failure.
set -eu

read -r _ user _ password _ <"$1" || [ -n "$password" ]
shift
REDISCLI_AUTH=${password#>} exec redis-cli -e --user "$user" "$@"
