#include "telemetry/collect/unit_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/confine.h"
#include "appliance/service/identity.h"
#include "telemetry/collect/config.h"

enum { TEXT_MAX = 512 };

static bool
is_six(const struct config_listen *at)
{
	return strchr(at->address, ':') != NULL;
}

void
unit_listen_text(struct buf *out, const struct config_listen *at)
{
	if (at->port == 0)
		return;
	buf_printf(out,
		"# telemetry.listen of mainstay.yaml: port %u\n[Service]\nRestrictAddressFamilies=%s\n%s\n", at->port,
		is_six(at) ? "AF_INET6" : "AF_INET", at->local ? "IPAddressAllow=localhost" : "IPAddressDeny=");
}

/* Who reads it: with root's power nothing that has a format is read. */
static int
become_reader(const struct paths *paths)
{
	struct identity id;
	uid_t uid;

	if (geteuid() != 0)
		return 0;
	if (identity_plan_units(&id, paths->lib) != 0)
		return REASON_NOT_FOUND;
	uid = id.uid[IDENTITY_COLLECTD];
	return setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ? FAULT(-errno) : 0;
}

static _Noreturn void
read_it(int out, const struct paths *paths)
{
	struct config_settings s = { 0 };
	int r = become_reader(paths);

	r = r ?: confine_enter(CONFINE_COLLECT);
	r = r ?: config_settings(&s, paths);
	r = r ?: fs_write_all(out, &s.listen, sizeof(s.listen));
	_exit(r != 0);
}

/* Of what came nothing is believed that an address and a port cannot be. */
static bool
is_sound(const struct config_listen *at)
{
	uint8_t raw[16];

	return at->address[sizeof(at->address) - 1] == '\0' && at->port >= 1024 && at->port <= UINT16_MAX &&
	       inet_pton(is_six(at) ? AF_INET6 : AF_INET, at->address, raw) == 1;
}

static bool
ask(struct config_listen *ret, const struct paths *paths)
{
	int ends[2], status = -1;
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0)
		read_it(ends[1], paths);
	(void)close(ends[1]);
	n = pid < 0 ? -1 : read(ends[0], ret, sizeof(*ret));
	(void)close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return n == (ssize_t)sizeof(*ret) && status == 0 && is_sound(ret);
}

int
unit_listen_generate(const char *dir, const struct paths *paths)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(TEXT_MAX);
	SCOPED(scope_close) int fd = -1, unit = -1;
	struct config_listen at = { 0 };
	int r;

	if (!ask(&at, paths))
		return 0;
	unit_listen_text(&text, &at);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return FAULT(-errno);
	r = buf_error(&text);
	r = r ?: fs_open_dir(&unit, fd, "mainstay-collectd.service.d", 0755);
	return FAULT(r ?: fs_replace(unit, "listen.conf", text.data, text.len, 0644));
}
