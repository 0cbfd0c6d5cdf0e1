#include "telemetry/collect/page.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/page_channel.h"
#include "telemetry/collect/page_server.h"

enum {
	PAGE_MAX = 32 * 1024 * 1024,
	/* One that ends sooner is not begun anew: who can bring it down could stop the collector with it. */
	LIFE_S = 600,
	FORMATS = 2,
};

struct page {
	int control;
	pid_t pid;
	uint64_t began_us; /* boot time */
	sd_event *loop;
	struct loop_watch *watch;
	page_print_fn *print;
	void *arg;
	bool round;			       /* there was one */
	bool asked[FORMATS], given[FORMATS]; /* of this round */
};

static _Noreturn void
serve(int control, pid_t parent, const struct config_listen *listen)
{
	int r;

	/* Nothing else of the collector's: not its readiness, not what tests have open. */
	(void)dup2(control, STDIN_FILENO);
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)prctl(PR_SET_NAME, "mainstay-page", 0, 0, 0);
	(void)signal(SIGTERM, SIG_DFL);
	if (getppid() != parent)
		_exit(0);
	r = page_server_run(STDIN_FILENO, listen);
	if (r < 0)
		log_fault(r, "showing numbers");
	_exit(refuse_exit_code(r));
}

int
page_start(struct page **ret, const struct config_listen *listen)
{
	SCOPED(page_freep) struct page *p = NULL;
	int pair[2];
	pid_t self = getpid();

	*ret = NULL;
	if (listen->port == 0)
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return FAULT(-ENOMEM);
	p->control = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return FAULT(-errno);
	p->pid = fork();
	if (p->pid == 0)
		serve(pair[1], self, listen);
	(void)close(pair[1]);
	p->control = pair[0];
	p->began_us = clock_mono_us();
	if (p->pid < 0)
		return FAULT(-errno);
	*ret = STEAL(p);
	return 0;
}

static void
end_process(struct page *p)
{
	if (p->pid <= 0)
		return;
	(void)kill(p->pid, SIGKILL); /* it has nothing that could be lost */
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
}

struct page *
page_free(struct page *p)
{
	if (!p)
		return NULL;
	loop_unwatch(p->watch);
	end_process(p);
	scope_close(&p->control);
	sd_event_unref(p->loop);
	free(p);
	return NULL;
}

static int
give(struct page *p, enum exposition_format format)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(PAGE_MAX);
	SCOPED(scope_close) int fd = -1;
	bool openmetrics = format == EXPOSITION_OPENMETRICS;
	int r = p->print(&out, format, p->arg);

	r = r ?: fs_memfd(&fd, "page", out.data, out.len);
	p->asked[openmetrics] = false;
	p->given[openmetrics] = true;
	if (r < 0)
		return FAULT(r);
	r = page_channel_send(p->control, openmetrics ? PAGE_CHANNEL_OPENMETRICS : PAGE_CHANNEL_TEXT, fd);
	if (r < 0)
		log_debug("the page's process takes none: %s", strerror(-r));
	return 0;
}

/* What is asked for, where there is a round that it was not given of. */
static void
give_all(struct page *p)
{
	static const enum exposition_format formats[FORMATS] = { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS };

	for (size_t i = 0; i < FORMATS; i++) {
		int r = p->round && p->asked[i] && !p->given[i] ? give(p, formats[i]) : 0;

		if (r < 0)
			log_fault(r, "printing the page of numbers");
	}
}

static void
ended(struct page *p)
{
	p->watch = loop_unwatch(p->watch);
	end_process(p);
	scope_close(&p->control);
	p->control = -1;
	if (clock_mono_us() - p->began_us < LIFE_S * CLOCK_US_PER_S) {
		log_warning("telemetry.listen: the process that shows the page has ended; it begins anew with the collector");
		return;
	}
	log_warning("telemetry.listen: the process that shows the page has ended; beginning anew");
	(void)sd_event_exit(p->loop, 0);
}

static void
on_control(uint32_t revents, void *arg)
{
	struct page *p = arg;
	enum page_channel_word word;
	int fd = -1, r = page_channel_take(p->control, &word, &fd);

	(void)revents;
	scope_close(&fd); /* it has none to give */
	if (r == -EAGAIN)
		return;
	if (r < 0 || word == PAGE_CHANNEL_NEW) {
		ended(p);
		return;
	}
	p->asked[word == PAGE_CHANNEL_OPENMETRICS] = true;
	give_all(p);
}

int
page_open(struct page *p, sd_event *loop, page_print_fn *print, void *arg)
{
	p->loop = sd_event_ref(loop);
	p->print = print;
	p->arg = arg;
	return FAULT(loop_watch(&p->watch, loop, p->control, EPOLLIN, on_control, p));
}

void
page_round(struct page *p)
{
	if (!p || p->control < 0)
		return;
	p->round = true;
	memset(p->given, 0, sizeof(p->given));
	/* Where it does not read, it also asks for nothing, and has what is old. */
	if (page_channel_send(p->control, PAGE_CHANNEL_NEW, -1) == 0)
		give_all(p);
}
