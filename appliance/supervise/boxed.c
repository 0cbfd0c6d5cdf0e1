#include "appliance/supervise/boxed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/service/filter.h"
#include "appliance/service/sandbox.h"

/* What descriptors bubblewrap gets. */
enum {
	INFO_FD = 3,
	GO_FD,
	FILTER_FD,
	PASSWD_FD,
	USERS_FD,
	SECRETS_FD,
	GROUP_FD = SECRETS_FD + SPEC_SECRETS_MAX,
	END_FD = GROUP_FD + GROUP_CONTROLLERS,

	OURS_PROCESSES = 16, /* of the same uid, outside: shim, bubblewrap, probes */
};

_Static_assert(SECRETS_FD + SPEC_SECRETS_MAX + GROUP_CONTROLLERS <= CHILD_FDS_MAX,
	"a child can be given all of them");

struct boxed *
boxed_done(struct boxed *b)
{
	group_done(&b->group);
	scope_close(&b->filter);
	scope_close(&b->passwd);
	scope_close(&b->users);
	b->filter = b->passwd = b->users = -1;
	return NULL;
}

int
boxed_open(struct boxed *ret, const struct spec *spec)
{
	int r;

	*ret = (struct boxed){
		.spec = spec, .group = { .kills = -1 }, .filter = -1, .passwd = -1, .users = -1
	};
	r = sandbox_users_files(&ret->passwd, &ret->users, spec->name, geteuid());
	r = r ?: filter_export(&ret->filter);
	if (r)
		boxed_done(ret);
	return r < 0 ? FAULT(r) : r;
}

/* A descriptor of its own for the same memory file: whoever reads it begins at its beginning. */
static int
again(int fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

struct opened {
	int fds[CHILD_FDS_MAX];
	size_t n;
};

static void
close_opened(struct opened *o)
{
	for (size_t i = 0; i < o->n; i++)
		(void)close(o->fds[i]);
}

static void
give(struct child_spec *c, int src, int dst)
{
	if (src >= 0)
		c->fds[c->n_fds++] = (struct child_fd){ src, dst };
}

static int
give_copy(struct child_spec *c, struct opened *o, int src, int dst)
{
	int fd = again(src);

	if (fd < 0)
		return FAULT(-errno);
	o->fds[o->n++] = fd;
	give(c, fd, dst);
	return 0;
}

static int
give_secrets(struct child_spec *c, struct opened *o, struct sandbox *box, const struct spec *spec)
{
	char dst[sizeof("/run/secrets/") + SPEC_NAME_MAX];
	int r = 0;

	for (size_t i = 0; i < spec->n_secrets && !r; i++) {
		if (spec->secrets[i].fd < 0)
			return REFUSE(REASON_NOT_FOUND, spec->name,
				"secret %s was given to nobody who still runs; start the service "
				"again",
				spec->secrets[i].name);
		(void)snprintf(dst, sizeof(dst), "/run/secrets/%s", spec->secrets[i].name);
		sandbox_secret(box, SECRETS_FD + (int)i, dst);
		r = give_copy(c, o, spec->secrets[i].fd, SECRETS_FD + (int)i);
	}
	return r;
}

/* What is done in the child, before it becomes bubblewrap. */
struct inside {
	size_t n_procs;
	int nice;
};

static int
enter(void *arg)
{
	const struct inside *in = arg;

	for (size_t i = 0; i < in->n_procs; i++) {
		int fd = GROUP_FD + (int)i;

		if (write(fd, "0", 1) != 1)
			return -errno;
		(void)close(fd);
	}
	/* Where we are nicer than that already, there is no way back to it for one who has no capability. */
	return in->nice && setpriority(PRIO_PROCESS, 0, in->nice) < 0 && errno != EACCES ? -errno : 0;
}

static void
set_limit(struct child_spec *c, int resource, uint64_t max)
{
	struct rlimit now;

	if (max == 0 || getrlimit(resource, &now) < 0)
		return;
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < max)
		max = now.rlim_max;
	c->limits[c->n_limits++] = (struct child_limit){ resource, max, max };
}

static void
build(struct sandbox *box, const struct boxed *b, unsigned rights, const struct boxed_ends *ends)
{
	const struct spec *spec = b->spec;

	sandbox_begin(box, spec->tree, spec->network != SPEC_NETWORK_NONE, rights & BOXED_BOUND);
	sandbox_users(box, spec->tree, PASSWD_FD, USERS_FD);
	if (rights & BOXED_DATA) {
		sandbox_bind(box, spec->data, "/data", true);
		sandbox_bind(box, spec->conf, "/conf", false);
		sandbox_bind(box, spec->log, "/log", true);
	}
	sandbox_bind(box, spec->run, "/run/service", rights & BOXED_DATA);
	for (char *const *e = spec->env; *e; e++)
		sandbox_env(box, *e);
	sandbox_seccomp_fd(box, FILTER_FD);
	if (ends->info >= 0)
		sandbox_info_fd(box, INFO_FD);
	if (ends->go >= 0)
		sandbox_block_fd(box, GO_FD);
}

int
boxed_spawn(struct child *ret, const struct boxed *b, char *const *argv, unsigned rights,
	const struct boxed_ends *ends)
{
	struct inside in = { .n_procs = b->group.n_procs, .nice = (int)b->spec->nice };
	struct child_spec c = CHILD_SPEC;
	SCOPED(close_opened) struct opened opened = { 0 };
	SCOPED(sandbox_done) struct sandbox box = { 0 };
	SCOPED(scope_close) int exe = open(SANDBOX_PROGRAM, O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (exe < 0)
		return REFUSE(REASON_NO_SANDBOX, b->spec->name, "%s cannot be opened",
			SANDBOX_PROGRAM);
	build(&box, b, rights, ends);
	if (rights & BOXED_SECRETS)
		r = give_secrets(&c, &opened, &box, b->spec);
	r = r ?: sandbox_end(&box, argv);
	r = r ?: give_copy(&c, &opened, b->filter, FILTER_FD);
	r = r ?: give_copy(&c, &opened, b->passwd, PASSWD_FD);
	r = r ?: give_copy(&c, &opened, b->users, USERS_FD);
	if (r)
		return r < 0 ? FAULT(r) : r;
	give(&c, ends->out, STDOUT_FILENO);
	give(&c, ends->err, STDERR_FILENO);
	give(&c, ends->info, INFO_FD);
	give(&c, ends->go, GO_FD);
	for (size_t i = 0; i < b->group.n_procs; i++)
		give(&c, b->group.procs[i], GROUP_FD + (int)i);
	c.exe_fd = exe;
	c.argv = (const char *const *)box.args;
	c.new_session = true;
	c.parent_death_signal = rights & BOXED_BOUND ? SIGKILL : 0;
	c.setup = enter;
	c.setup_arg = &in;
	set_limit(&c, RLIMIT_NOFILE, b->spec->nofile);
	if (b->own_user && b->spec->processes)
		set_limit(&c, RLIMIT_NPROC, b->spec->processes + OURS_PROCESSES);
	return FAULT(child_spawn(ret, &c, NULL));
}
