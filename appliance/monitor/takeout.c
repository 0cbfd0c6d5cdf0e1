#include "appliance/monitor/takeout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { DEPTH_MAX = 8 };

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
	{ true, "audit", "audit", "the log: records, tiles, signed and cosigned checkpoints" },
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
copy_file(int from_fd, int to_fd, const char *name)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TAKEOUT_FILE_MAX);
	int r = fs_read_fd(from_fd, TAKEOUT_FILE_MAX, &b);

	if (r > 0)
		return REFUSE(r, name, "is too large to be taken along (over %d bytes)", TAKEOUT_FILE_MAX);
	return FAULT(r ?: fs_replace(to_fd, name, b.data, b.len, 0600));
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
		return copy_file(fd, to_dir, name);
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

int
takeout_readme(int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(16 * 1024);

	buf_puts(&b, "What was yours at this site when it left its vendor.  No private key is among it.\n\n");
	buf_printf(&b, "%-18s %s\n", "head.json", "size, root and public key of the log; whose cosignatures it has");
	buf_printf(&b, "%-18s %s\n", "verify.policy", "the log's key and its witnesses, to check proofs by");
	buf_printf(&b, "%-18s %s\n", "checkpoint", "the log's head, signed by the audit key");
	buf_printf(&b, "%-18s %s\n", "audit.json", "the log's entries, to be read");
	buf_printf(&b, "%-18s %s\n", "proofs/N.proof", "entry N, its salt, and that the log holds it (c2sp.org/tlog-proof)");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		buf_printf(&b, "%-18s %s\n", parts[i].to, parts[i].what);
	buf_puts(&b,
		"\nA file that is not here was not there.  To check an entry, on any machine and without anybody's\n"
		"help: mainstay audit verify proofs/N.proof --policy verify.policy.  (One that no witness had cosigned when\n"
		"this was written meets no quorum.)  The last entry of the log, that the site left, was written after this folder and stays with the site.\n");
	return FAULT(buf_error(&b) ?: fs_replace(dir_fd, "README", b.data, b.len, 0600));
}
