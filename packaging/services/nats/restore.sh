# Put the streams of the snapshot $2 in place of those in the data folder $1, while no server runs.
set -eu

rm -rf "$1/jetstream.new"
[ ! -d "$2/jetstream" ] || cp -a "$2/jetstream" "$1/jetstream.new"
rm -rf "$1/jetstream"
[ ! -d "$1/jetstream.new" ] || mv "$1/jetstream.new" "$1/jetstream"
