#include "appliance/monitor/takeout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/audit/verify.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { DEPTH_MAX = 8, CHUNK = 256 * 1024, VERIFY_TRIES = 3 };
#define HALF ".half"

static const struct {
	bool lib; /* below lib, else below etc */
	const char *from, *to;
	const char *what; /* for the README */
} parts[] = {
	{ false, "policy.yaml", "policy.yaml", "your ceiling, as you wrote it" },
	{ false, "cluster.yaml", "cluster.yaml", "the services that you wished for" },
	{ false, "mainstay.yaml", "mainstay.yaml", "the appliance's own settings" },
	{ false, "audit.policy", "audit.policy", "which witnesses you asked for" },
	{ true, "cluster.lock", "cluster.lock", "the very releases that run" },
	{ true, "outbox", "ledger/outbox", "what the monitor sent: statements, plans, results, heads" },
	{ true, "telemetry/spool", "ledger/spool", "what the collector sent: metrics, alerts" },
	{ true, "courier/acks.json", "ledger/acks.json", "how far the hub had acknowledged it" },
	{ true, "monitor/requests", "requests", "requests with their permits, plans and results" },
	{ true, "monitor/card.json", "vendor.card", "the vendor's card, as you accepted it" },
	{ true, "monitor/record.json", "record.json", "the vendor's engineer's word for this site" },
	{ true, "monitor/policy.json", "policy.json", "the policy in force, compiled" },
	{ true, "monitor/people.json", "people.json", "the vendor's engineers, as last known" },
};

static bool
is_private(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && strcmp(name + n - 4, ".key") == 0;
}

int
takeout_open(int *ret_fd, const char *dir)
{
	SCOPED(scope_close) int fd = -1;
	const struct dirent *e;
	bool empty = true;
	DIR *d;
	int r = fs_open_dir(&fd, AT_FDCWD, dir, 0700);

	if (r < 0)
		return REFUSE(REASON_NOT_FOUND, dir, "cannot be made: %s", strerror(-r));
	d = fdopendir(dup(fd));
	if (!d)
		return FAULT(-errno);
	while ((e = readdir(d)))
		empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
	(void)closedir(d);
	if (!empty)
		return REFUSE(REASON_CONFLICT, dir, "is not empty; name a new folder");
	if (fchmod(fd, 0700) < 0)
		return FAULT(-errno);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

/* Make the folders of TO and return the last one and the name in it. */
static int
open_place(int dir_fd, const char *to, int *ret_fd, const char **ret_name)
{
	const char *slash = strrchr(to, '/');
	char folder[256] = ".";

	if (slash && (size_t)(slash - to) >= sizeof(folder))
		return FAULT(-ENAMETOOLONG);
	if (slash) {
		memcpy(folder, to, (size_t)(slash - to));
		folder[slash - to] = '\0';
	}
	*ret_name = slash ? slash + 1 : to;
	return fs_open_dir(ret_fd, dir_fd, folder, 0700);
}

static int
stream(int from_fd, int to_fd)
{
	SCOPED(scope_free) char *chunk = malloc(CHUNK);
	ssize_t n;

	if (!chunk)
		return FAULT(-ENOMEM);
	while ((n = read(from_fd, chunk, CHUNK)) > 0) {
		int r = fs_write_all(to_fd, chunk, (size_t)n);

		if (r < 0)
			return FAULT(r);
	}
	return n < 0 || fsync(to_fd) < 0 ? FAULT(-errno) : 0;
}

/* Under another name until it is whole. */
static int
copy_file(int from_fd, const struct stat *st, int to_dir, const char *name)
{
	SCOPED(scope_close) int to = -1;
	int r;

	if (st->st_size > TAKEOUT_FILE_MAX)
		return REFUSE(REASON_TOO_LARGE, name, "is too large to be taken along (over %lld bytes)",
			(long long)TAKEOUT_FILE_MAX);
	to = openat(to_dir, HALF, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return FAULT(-errno);
	r = stream(from_fd, to);
	if (r == 0 && renameat(to_dir, HALF, to_dir, name) < 0)
		r = -errno;
	return r < 0 ? FAULT(r) : fs_sync_dir(to_dir);
}

static int
copy(int from_dir, const char *from, int to_dir, const char *name, unsigned depth)
{
	SCOPED(scope_close) int fd = openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	SCOPED(scope_close) int to = -1;
	const struct dirent *e;
	struct stat st;
	DIR *d;
	int r;

	if (fd < 0) /* what is not there, a link, a socket: nothing to take */
		return errno == ENOENT || errno == ELOOP || errno == ENXIO || errno == ENOTDIR ? 0 : FAULT(-errno);
	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (S_ISREG(st.st_mode))
		return copy_file(fd, &st, to_dir, name);
	if (!S_ISDIR(st.st_mode) || depth == DEPTH_MAX)
		return 0;
	r = fs_open_dir(&to, to_dir, name, 0700);
	if (r < 0)
		return FAULT(r);
	d = fdopendir(dup(fd));
	if (!d)
		return FAULT(-errno);
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.' && !is_private(e->d_name))
			r = copy(fd, e->d_name, to, e->d_name, depth + 1);
	(void)closedir(d);
	return r;
}

int
takeout_copy(int dir_fd, const struct paths *paths)
{
	SCOPED(scope_close) int lib = open(paths->lib, O_PATH | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_close) int etc = open(paths->etc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (lib < 0)
		return FAULT(-errno);
	for (size_t i = 0; i < ARRAY_LEN(parts) && r == 0; i++) {
		SCOPED(scope_close) int place = -1;
		const char *name;

		if (!parts[i].lib && etc < 0)
			continue; /* no folder of settings: nothing was set */
		r = open_place(dir_fd, parts[i].to, &place, &name);
		r = r ?: copy(parts[i].lib ? lib : etc, parts[i].from, place, name, 0);
	}
	return r;
}

/* What is appended meanwhile (an alert) makes a copy that does not fit together: then once more. */
int
takeout_log(int dir_fd, const struct paths *paths, const uint8_t audit_key[32])
{
	SCOPED(scope_close) int lib = open(paths->lib, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct verify_report report;
	int r = lib < 0 ? -errno : 0;

	for (unsigned i = 0; i < VERIFY_TRIES && (i == 0 || r > 0); i++) {
		SCOPED(scope_close) int log = -1;

		r = r < 0 ? r : fs_remove_tree(dir_fd, "audit");
		r = r ?: copy(lib, "audit", dir_fd, "audit", 0);
		r = r ?: fs_open_dir(&log, dir_fd, "audit", 0700);
		r = r ?: verify_log(&report, log, audit_key, NULL);
	}
	return r < 0 ? FAULT(r) : r;
}

int
takeout_readme(int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(16 * 1024);

	buf_puts(&b, "What was yours at this site when it left its vendor.  No private key is among it.\n\n");
	buf_printf(&b, "%-18s %s\n", "audit",
		"the log, whole: records, tiles, signed and cosigned checkpoints; its last entry says that the site left");
	buf_printf(&b, "%-18s %s\n", "audit.json", "the log's entries, to be read");
	buf_printf(&b, "%-18s %s\n", "verify.policy", "the log's key and who was to cosign it, to check the log by");
	buf_printf(&b, "%-18s %s\n", "head.json", "size, root and public key of the log; whose cosignatures it had before");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		buf_printf(&b, "%-18s %s\n", parts[i].to, parts[i].what);
	buf_puts(&b,
		"\nA file that is not here was not there.  To check the whole log, on any machine and without anybody's help:\n"
		"  mainstay audit verify DIR                     by the key in verify.policy\n"
		"  mainstay audit verify DIR --policy AUDITORS   by a key and witnesses that somebody else vouches for\n"
		"The first shows that nothing here was changed since the log was written; that it is this site's log and no other\n"
		"show the witnesses' cosignatures.  What was written after the last of them no witness has seen.\n");
	return FAULT(buf_error(&b) ?: fs_replace(dir_fd, "README", b.data, b.len, 0600));
}
