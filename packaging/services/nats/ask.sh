# Ask JetStream as app, whose password is in the file $1, by the socket $2: the subject $3, with the text $4.  Its answer
# is shown; one that says an error is a failure, and so is none within 25 seconds.
set -eu

export ASK_SECRET="$1" ASK_SUBJECT="$3" ASK_TEXT="${4-}"
socat -t 1 -T 25 "UNIX-CONNECT:$2" "EXEC:/usr/bin/dash /usr/lib/mainstay/talk.sh" || :
[ -e /tmp/answer ] || {
	echo "no answer to $3; the server's log may say why" >&2
	exit 1
}
IFS= read -r answer </tmp/answer
echo "$answer"
case $answer in
'{'*'"error":'*) exit 1 ;;
'{'*) ;;
*) exit 1 ;;
esac
