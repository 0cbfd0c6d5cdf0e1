# Start the server with the passwords that the files $1 (mainstay_metrics) and $2 (app) hold, so that a rotated secret
# counts from the next start on; the rest is the server's command line.  A password is never an argument,
# and a statement that fails is not logged with its text.
set -eu
bin=/usr/lib/postgresql/15/bin
data=$4

quoted() {
	IFS= read -r rest <"$1" || [ -n "$rest" ]
	printf "'"
	while [ "${rest#*\'}" != "$rest" ]; do
		printf "%s''" "${rest%%\'*}"
		rest=${rest#*\'}
	done
	printf "%s'" "$rest"
}

{
	printf 'ALTER ROLE mainstay_metrics PASSWORD '
	quoted "$1"
	printf '\nALTER ROLE app PASSWORD '
	quoted "$2"
	printf '\n'
} | $bin/postgres --single -D "$data" -c log_min_error_statement=panic -c log_statement=none postgres >/dev/null
shift 2
exec $bin/postgres "$@"
