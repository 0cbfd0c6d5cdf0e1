# Put the data of the snapshot $2 in place of that in the data folder $1, while no server runs: as the file that is read
# where there is no log, and as a log's beginning where there is one, for then the server reads the log alone.
set -eu

cp "$2/dump.rdb" "$1/dump.rdb.new"
if [ -d "$1/appendonlydir" ]; then
	rm -rf "$1/appendonlydir.new"
	mkdir "$1/appendonlydir.new"
	cp "$2/dump.rdb" "$1/appendonlydir.new/appendonly.aof.1.base.rdb"
	echo "file appendonly.aof.1.base.rdb seq 1 type b" >"$1/appendonlydir.new/appendonly.aof.manifest"
	rm -rf "$1/appendonlydir"
	mv "$1/appendonlydir.new" "$1/appendonlydir"
fi
mv "$1/dump.rdb.new" "$1/dump.rdb"
