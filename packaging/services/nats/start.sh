# Start the server with the configuration $4.  The collector and the operations have no network: beside it its monitoring
# pages, which it has on the TCP port $2 alone, are shown as the socket monitor.sock in the folder $1, and its clients'
# port $3 as client.sock, where who comes has to say the password as anywhere.
set -eu

socat -T 30 "UNIX-LISTEN:$1/monitor.sock,fork,max-children=16,mode=0770,unlink-early" "TCP4:127.0.0.1:$2" &
socat -T 30 "UNIX-LISTEN:$1/client.sock,fork,max-children=8,mode=0700,unlink-early" "TCP4:127.0.0.1:$3" &
exec nats-server -c "$4"
