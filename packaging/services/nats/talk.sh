# The client's side of what ask.sh asks: standard input and output are the connection.  The answer is left in /tmp/answer.
set -eu

leave() {
	printf '%s\n' "$1" >/tmp/answer
	exit 0
}

read -r _ password <"$ASK_SECRET" || [ -n "$password" ]
password=${password#\"}
IFS= read -r _
printf 'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"name":"mainstay","user":"app","pass":"%s"}\r\n' "${password%\"}"
printf 'SUB _INBOX.mainstay 1\r\nUNSUB 1 1\r\nPUB %s _INBOX.mainstay %d\r\n%s\r\n' "$ASK_SUBJECT" "${#ASK_TEXT}" "$ASK_TEXT"
while read -r word rest; do
	case $word in
	PING*) printf 'PONG\r\n' ;;
	MSG)
		IFS= read -r answer
		leave "${answer%?}"
		;;
	HMSG) leave "nobody answers: is the knob jetstream on?" ;;
	-ERR) leave "${rest%?}" ;;
	esac
done
