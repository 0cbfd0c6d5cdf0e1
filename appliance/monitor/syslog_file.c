#include "appliance/monitor/syslog_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/ours.h"

#define OPERAND "etc/" SYSLOG_FILE

enum { BYTES_MAX = 1024 };

/* One line, less what stands around it. */
static int
read_line(const struct monitor *m, const char *file, char out[BYTES_MAX + 1])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	const char *text;
	size_t len;
	int r = ours_open(m, file, &fd);

	if (r)
		return r;
	r = fs_read_fd(fd, BYTES_MAX, &b);
	if (r)
		return r < 0 ? FAULT(r)
			     : REFUSE((enum reason)r, OPERAND, "is over %d bytes", (int)BYTES_MAX);
	text = buf_text(&b);
	len = strcspn(text, "\n");
	if (strlen(text) != b.len || len + strspn(text + len, " \t\n") != b.len)
		return REFUSE(REASON_MALFORMED, OPERAND, "must be one line");
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

static int
read_path(const struct monitor *m, const char *file, char ret[SYSLOG_PATH_MAX])
{
	char line[BYTES_MAX + 1];
	const char *path = line;
	int r = read_line(m, file, line);

	if (r)
		return r;
	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	if (strcmp(path, SYSLOG_NONE) != 0 && path[0] != '/')
		return REFUSE(REASON_MALFORMED, OPERAND,
			"must be the path of a socket of this machine, like /dev/log, "
			"or " SYSLOG_NONE "; the monitor has no network");
	if (strlen(path) >= SYSLOG_PATH_MAX)
		return REFUSE(REASON_TOO_LARGE, OPERAND, "the path is over %d bytes",
			(int)SYSLOG_PATH_MAX - 1);
	(void)snprintf(ret, SYSLOG_PATH_MAX, "%s", path);
	return 0;
}

static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
		a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool
syslog_file_look(struct syslog_file *f, const struct monitor *m)
{
	char file[PATH_MAX];
	struct stat now;
	int r;

	(void)snprintf(file, sizeof(file), "%s/" SYSLOG_FILE, m->paths.etc);
	if (lstat(file, &now) < 0)
		now = (struct stat){ 0 };
	if (is_same(&now, &f->seen))
		return false;
	f->seen = now;
	f->trouble[0] = '\0';
	if (now.st_ino == 0) {
		f->path[0] = '\0';
		return true;
	}
	r = read_path(m, file, f->path);
	if (r < 0)
		log_fault(r, "reading " OPERAND);
	if (r)
		(void)snprintf(f->trouble, sizeof(f->trouble), "%s",
			r < 0 ? "cannot be read" : refuse_last()->text);
	return r == 0;
}
