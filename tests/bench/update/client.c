/* The site's side of an update without its daemons: what the monitor asks for, what the courier makes of ranges, and
 * what mainstay-activate does with it.
 *
 *	client fetch REPO STATE INDEX PACKS    fill STATE/incoming from REPO as the courier does; "bytes N requests N"
 *	client apply STATE INDEX               stage from STATE/incoming into STATE/store; "files N linked N patched N"
 *
 * INDEX: a file of index.json.  PACKS: HEX of the list of packs, or "-". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"
#include "updater/activate/stage.h"
#include "updater/activate/update.h"
#include "updater/fetch/fetch_name.h"
#include "updater/fetch/fetch_wire.h"
#include "updater/fetch/incoming.h"

enum { FILE_MAX = 1 << 30 };

static int
die(const char *what, int r)
{
	(void)fprintf(stderr, "client: %s: %d\n", what, r);
	return 1;
}

static int
read_index(struct buf *out, const char *path)
{
	SCOPED(scope_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fs_read_fd(fd, TREE_INDEX_BYTES_MAX, out);
}

/* A part of a file of the repository; all of it where len is 0. */
static int
get(int repo, const char *name, uint64_t at, uint64_t len, struct incoming *in, uint64_t *bytes)
{
	SCOPED(scope_close) int fd = openat(repo, name, O_RDONLY | O_CLOEXEC);
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_MAX);
	int r = fd < 0 ? -errno : fs_read_fd(fd, FILE_MAX, &b);

	if (r != 0)
		return r;
	len = len ?: b.len - at;
	if (at + len > b.len)
		return -ERANGE;
	*bytes += len;
	if (in->members)
		return incoming_split(in, b.data + at, (size_t)len);
	r = incoming_put(in, b.data + at, (size_t)len);
	return r ?: incoming_keep(in);
}

static int
fetch_files(int repo, struct incoming *in, const json_t *missing, uint64_t *bytes, uint64_t *requests)
{
	for (size_t i = 0; i < json_array_size(missing); i++, ++*requests) {
		const char *name = json_string_value(json_array_get(json_array_get(missing, i), 0));
		char path[INCOMING_NAME_MAX];
		uint64_t at;
		int r = fetch_name_path(path, sizeof(path), name, true) ? 0 : -EBADMSG;

		r = r ?: incoming_begin(in, path, false, 0, &at);
		r = r ?: get(repo, path, 0, 0, in, bytes);
		if (r != 0)
			return r;
	}
	return 0;
}

static int
fetch_ranges(int repo, struct incoming *in, const json_t *ranges, uint64_t *bytes, uint64_t *requests)
{
	for (size_t i = 0; i < json_array_size(ranges); i++, ++*requests) {
		const json_t *range = json_array_get(ranges, i);
		char path[INCOMING_NAME_MAX];
		uint64_t len;
		int r = incoming_range(in, json_object_get(range, "members"), &len);

		if (r == 0 && !fetch_name_pack(path, sizeof(path), json_string_value(json_object_get(range, "pack"))))
			r = -EBADMSG;
		r = r ?: get(repo, path, (uint64_t)json_integer_value(json_object_get(range, "at")), len, in, bytes);
		in->members = NULL;
		if (r != 0)
			return r;
	}
	return 0;
}

/* What the web server makes of a text on its way. */
static uint64_t
gzipped(const struct buf *b)
{
	uLongf len = compressBound(b->len);
	SCOPED(scope_free) uint8_t *out = malloc(len);

	return out && compress2(out, &len, b->data, b->len, 6) == Z_OK ? len + 12 : b->len;
}

static int
fetch(const char *repo_path, const char *state, const char *index, const char *packs)
{
	struct update u = { 0 };
	struct update_release rel = { .index = BUF_MAX(TREE_INDEX_BYTES_MAX) };
	struct incoming in = { .out_fd = -1 };
	SCOPED(scope_close) int repo = open(repo_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_close) int dir = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_close) int patches = -1;
	uint64_t bytes = 0, requests = 1;
	uint8_t digest[SHA256_LEN];
	int r = read_index(&rel.index, index);

	r = r ?: tree_index_read(&rel.tree, rel.index.data, rel.index.len);
	r = r ?: fs_open_dir(&u.store_fd, dir, "store", 0755);
	r = r ?: fs_open_dir(&u.incoming_fd, dir, "incoming", 0755);
	r = r ?: fs_open_dir(&patches, u.incoming_fd, "patches", 0755);
	if (r != 0)
		return die(index, r);
	sha256_of(digest, rel.index.data, rel.index.len);
	hex_encode(rel.hex, digest, sizeof(digest));
	rel.has_packs = hex_decode(rel.packs, sizeof(rel.packs), packs);
	in.dir_fd = u.incoming_fd;
	bytes += gzipped(&rel.index);
	for (unsigned rounds = 0; rounds < FETCH_WIRE_ROUNDS_MAX; rounds++) {
		json_t *missing = json_array(), *ranges = json_array();

		r = update_missing(&u, &rel, missing, ranges, FETCH_WIRE_NEED_MAX, NULL);
		r = r ?: fetch_files(repo, &in, missing, &bytes, &requests);
		r = r ?: fetch_ranges(repo, &in, ranges, &bytes, &requests);
		bool done = json_array_size(missing) + json_array_size(ranges) == 0;
		json_decref(missing);
		json_decref(ranges);
		if (r != 0)
			return die("fetching", r);
		if (!done)
			continue;
		(void)printf("bytes %llu requests %llu\n", (unsigned long long)bytes, (unsigned long long)requests);
		update_release_done(&rel);
		return 0;
	}
	return die("fetching", -ELOOP);
}

static int
apply(const char *state, const char *index)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TREE_INDEX_BYTES_MAX);
	SCOPED(scope_close) int dir = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_close) int store = -1, objects = -1, patches = -1;
	struct stage_result result;
	int r = read_index(&b, index);

	r = r ?: fs_open_dir(&store, dir, "store", 0755);
	r = r ?: fs_open_dir(&objects, dir, "incoming/objects", 0755);
	r = r ?: fs_open_dir(&patches, dir, "incoming/patches", 0755);
	r = r ?: stage_tree(&result, store, objects, patches, b.data, b.len);
	if (r != 0)
		return die("staging", r);
	(void)printf("files %llu linked %llu patched %llu\n", (unsigned long long)result.files,
		(unsigned long long)result.linked, (unsigned long long)result.patched);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "fetch") == 0)
		return fetch(argv[2], argv[3], argv[4], argv[5]);
	if (argc == 4 && strcmp(argv[1], "apply") == 0)
		return apply(argv[2], argv[3]);
	return 2;
}
