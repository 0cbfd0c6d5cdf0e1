/* Our TUF client as the program that conformance suites drive: the workflow of appliance/tuf over libcurl.
 *
 *	tuf-client --metadata-dir D init ROOTFILE
 *	tuf-client --metadata-dir D --metadata-url U refresh
 *	tuf-client --metadata-dir D --metadata-url U --target-dir T --target-base-url B --target-name P... download
 *
 * Plain http is allowed here and nowhere else.  Exit code 0, or 1 for whatever went wrong.  The time is libc's, so
 * that it can be faked. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/store.h"

enum {
	URL_MAX = 8192,
	TARGET_MAX = 1 << 30, /* bytes of a target, which are held in memory */
	ENCODED_MAX = 3 * (TUF_PATH_MAX + 160) + 1,
	FILE_NAME_MAX = 240,
	RATE_MIN = 256, /* bytes a second */
	RATE_S = 2,
	FETCH_MS = 120 * 1000,
};

/* --- fetching ------------------------------------------------------------------------------------ */
/* Only [A-Za-z0-9_.~-] and what else is listed stay, the rest is percent-encoded. */
static const char *
encode(char out[ENCODED_MAX], const char *text, const char *also)
{
	size_t n = 0;

	out[0] = '\0';
	for (const unsigned char *p = (const unsigned char *)text; *p && n + 4 <= ENCODED_MAX; p++) {
		bool bare = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
			strchr("_.~-", *p) || strchr(also, *p);

		n += (size_t)snprintf(out + n, 4, bare ? "%c" : "%%%02X", *p);
	}
	return out;
}

static int
make_url(char out[URL_MAX], const char *base, const char *path)
{
	size_t n = strlen(base);

	if ((size_t)snprintf(out, URL_MAX, "%s%s%s", base, n && base[n - 1] == '/' ? "" : "/", path) >= URL_MAX)
		return REFUSE(REASON_TOO_LARGE, path, "makes too long an address");
	return 0;
}

/* At most cap bytes of url.  REASON_NOT_FOUND (unlogged) only where the server says so itself. */
static int
fetch(const char *url, size_t cap, struct buf *out)
{
	struct http_request req = {
		.method = "GET",
		.url = url,
		.max_reply = cap ? cap : 1,
		.timeout_ms = FETCH_MS,
		.min_rate = RATE_MIN,
		.min_rate_s = RATE_S,
		.allow_http = true,
	};
	struct http_reply reply = { 0 };
	int r = http_perform(NULL, &req, &reply);

	if (r == REASON_TOO_LARGE)
		r = REFUSE(REASON_TOO_LARGE, url, "has more than %zu bytes", cap);
	else if (r > 0)
		r = REFUSE(r, url, "%s", reply.error);
	else if (!r && reply.status == 404)
		r = REASON_NOT_FOUND;
	else if (!r && reply.status != 200)
		r = REFUSE(REASON_UNREACHABLE, url, "the server answers %ld", reply.status);
	if (!r) {
		buf_put(out, reply.body.data, reply.body.len);
		r = buf_error(out);
	}
	http_reply_done(&reply);
	return r;
}

/* Have all that the client wants, and keep each role as soon as it is trusted. */
static int
feed(struct tuf_client *c, const char *base, int dir_fd)
{
	struct tuf_want w;

	while (tuf_client_want(c, &w)) {
		SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
		char url[URL_MAX];
		int r = make_url(url, base, w.file); /* encoded already */

		r = r ?: fetch(url, w.cap, &b);
		if (r == REASON_NOT_FOUND)
			r = tuf_client_absent(c);
		else if (!r)
			r = tuf_client_update(c, w.role, b.data, b.len);
		r = r ?: tuf_store_save(c, dir_fd);
		if (r)
			return r;
	}
	return 0;
}

/* --- targets ------------------------------------------------------------------------------------- */
/* One file for each path, whatever it is made of: percent-encoded, or its digest where that is too long. */
static const char *
file_of(char out[ENCODED_MAX], const char *path)
{
	uint8_t digest[SHA256_LEN];

	if (strlen(encode(out, path, "")) > FILE_NAME_MAX || out[0] == '.') {
		sha256_of(digest, path, strlen(path));
		hex_encode(out, digest, sizeof(digest));
	}
	return out;
}

static bool
is_there(const struct tuf_target *t, int dir_fd, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX((size_t)t->length);

	return fs_read(dir_fd, file, (size_t)t->length, &b) == 0 && tuf_target_check(t, b.data, b.len) == 0;
}

static int
download_one(struct tuf_client *c, const struct command_call *call, int meta_fd, int dir_fd, const char *path)
{
	char url[URL_MAX], path_of_url[ENCODED_MAX], file[ENCODED_MAX];
	SCOPED(buf_done) struct buf b = BUF_MAX(TARGET_MAX);
	struct tuf_target t;
	int r;

	while ((r = tuf_client_target(c, path, &t)) == TUF_WANTS) {
		r = feed(c, command_option(call, "metadata-url"), meta_fd);
		if (r)
			return r;
	}
	if (r)
		return r;
	if (t.length > TARGET_MAX)
		return REFUSE(REASON_TOO_LARGE, path, "has %llu bytes", (unsigned long long)t.length);
	if (is_there(&t, dir_fd, file_of(file, path)))
		return 0;
	r = make_url(url, command_option(call, "target-base-url"), encode(path_of_url, t.file, "/"));
	r = r ?: fetch(url, (size_t)t.length, &b);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, path, "it is signed, but the repository does not have it");
	r = r ?: tuf_target_check(&t, b.data, b.len);
	return r ?: fs_replace(dir_fd, file, b.data, b.len, 0644);
}

/* --- commands ------------------------------------------------------------------------------------ */
static int
require(const struct command_call *call, const char *const *names)
{
	for (; *names; names++) {
		const char *v = command_option(call, *names);

		if (!v || !*v)
			return REFUSE(REASON_USAGE, *names, "is needed here: --%s VALUE", *names);
	}
	return 0;
}

static int
run_init(struct command_call *call)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_ROOT_MAX);
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	SCOPED(scope_close) int fd = -1;
	int r;

	r = require(call, (const char *const[]){ "metadata-dir", NULL });
	r = r ?: command_read_file(call->operands[0], TUF_ROOT_MAX, &b);
	r = r ?: tuf_client_new(&c, b.data, b.len, clock_now_us());
	r = r ?: fs_open_dir(&fd, AT_FDCWD, command_option(call, "metadata-dir"), 0755);
	return r ?: tuf_store_save(c, fd);
}

/* A client over D, brought up to date. */
static int
refresh(struct tuf_client **ret, int *ret_fd, const struct command_call *call)
{
	const char *dir = command_option(call, "metadata-dir");
	int r;

	r = require(call, (const char *const[]){ "metadata-dir", "metadata-url", NULL });
	r = r ?: fs_open_dir(ret_fd, AT_FDCWD, dir, 0755);
	r = r ?: tuf_store_open(ret, *ret_fd, NULL, 0, clock_now_us());
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, dir, "holds no root.json: init comes first");
	return r ?: feed(*ret, command_option(call, "metadata-url"), *ret_fd);
}

static int
run_refresh(struct command_call *call)
{
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	SCOPED(scope_close) int fd = -1;

	return refresh(&c, &fd, call);
}

static int
run_download(struct command_call *call)
{
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	SCOPED(scope_close) int meta_fd = -1, dir_fd = -1;
	int r;

	r = require(call, (const char *const[]){ "target-name", "target-dir", "target-base-url", NULL });
	r = r ?: refresh(&c, &meta_fd, call);
	r = r ?: fs_open_dir(&dir_fd, AT_FDCWD, command_option(call, "target-dir"), 0755);
	for (size_t i = 0; !r && i < command_option_n(call, "target-name"); i++)
		r = download_one(c, call, meta_fd, dir_fd, command_option_at(call, "target-name", i));
	return r;
}

int
main(int argc, char **argv)
{
	static const struct command_option options[] = {
		{ .name = "metadata-dir", .value = "D", .help = "the trusted metadata" },
		{ .name = "metadata-url", .value = "U", .help = "the repository's metadata" },
		{ .name = "target-name", .value = "P", .help = "a target's path", .repeated = true },
		{ .name = "target-dir", .value = "T", .help = "where targets go" },
		{ .name = "target-base-url", .value = "B", .help = "the repository's targets" },
		{ 0 },
	};
	static const struct command commands[] = {
		{ .name = "init", .args = "ROOTFILE", .min = 1, .max = 1, .summary = "trust a root", .run = run_init },
		{ .name = "refresh", .summary = "bring the metadata up to date", .run = run_refresh },
		{ .name = "download", .summary = "refresh and have targets", .run = run_download },
		{ 0 },
	};
	const struct command_program program = {
		.name = "tuf-client",
		.summary = "a TUF client for conformance suites",
		.tables = { commands },
		.options = options,
	};

	return command_main(&program, argc, argv) == 0 ? 0 : 1;
}
