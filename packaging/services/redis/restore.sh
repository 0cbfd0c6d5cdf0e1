# Put the data of the snapshot $2 in place of that in the data folder $1, while no server runs: as the file that is read
# where the log is off, and as the log's beginning, for where it is on the server reads the log alone.
set -eu

cp "$2/dump.rdb" "$1/dump.rdb.new"
rm -rf "$1/appendonlydir.new"
mkdir "$1/appendonlydir.new"
cp "$2/dump.rdb" "$1/appendonlydir.new/appendonly.aof.1.base.rdb"
echo "file appendonly.aof.1.base.rdb seq 1 type b" >"$1/appendonlydir.new/appendonly.aof.manifest"
rm -rf "$1/appendonlydir"
mv "$1/appendonlydir.new" "$1/appendonlydir"
mv "$1/dump.rdb.new" "$1/dump.rdb"
