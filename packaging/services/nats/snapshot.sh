# Copy the streams in the data folder $1 into $2 while the server runs, file by file, the blocks of messages before what
# counts them: the server takes such a copy as it takes its own files after a loss of power.
set -eu

[ -d "$1/jetstream" ] || exit 0
cp -a "$1/jetstream" "$2/jetstream.part"
mv "$2/jetstream.part" "$2/jetstream"
