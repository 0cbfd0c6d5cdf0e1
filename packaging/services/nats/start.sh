# Start the server with the configuration $3, and show its monitoring pages, which it has on the TCP port $2 alone, as
# the socket monitor.sock in the folder $1: the collector and the operations have no network.
set -eu

socat -T 30 "UNIX-LISTEN:$1/monitor.sock,fork,max-children=16,mode=0770,unlink-early" "TCP4:127.0.0.1:$2" &
exec nats-server -c "$3"
