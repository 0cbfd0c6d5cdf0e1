#include "telemetry/collect/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/redis_info.h"
#include "telemetry/collect/sample.h"

static const char question[] = "*1\r\n$4\r\nINFO\r\n";

struct field {
	char *info;   /* "used_memory" */
	char *metric; /* "redis_used_memory" */
};

struct redis {
	sd_event *loop;
	char *service;
	char *dir;
	char *name; /* of the socket in dir */
	struct field *fields;
	size_t n_fields;
	redis_done_fn *done;
	void *arg;

	int fd; /* -1: no probe under way */
	struct loop_watch *watch;
	struct loop_timer *timer; /* runs from redis_probe() until the probe has ended */
	struct buf answer;
	struct sample_set samples;
	uint64_t now_us;    /* when the answer came */
	uint64_t uptime_us; /* of the server, while its answer is read */
};

static int
copy_fields(struct redis *r, const json_t *fields)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(fields) || json_array_size(fields) > REDIS_FIELDS_MAX)
		return REFUSE(REASON_MALFORMED, r->service, "fields are no list of at most %d",
			REDIS_FIELDS_MAX);
	r->fields = calloc(json_array_size(fields) + 1, sizeof(*r->fields));
	if (!r->fields)
		return FAULT(-ENOMEM);
	json_array_foreach (fields, i, item) {
		const char *text = json_string_value(item);
		struct field *f = &r->fields[i];

		if (!text || !*text || strlen(text) > REDIS_INFO_FIELD_MAX ||
			text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_")])
			return REFUSE(REASON_MALFORMED, r->service, "a field is no name of INFO's");
		f->info = strdup(text);
		if (!f->info || asprintf(&f->metric, "redis_%s", text) < 0) {
			f->metric = NULL;
			return FAULT(-ENOMEM);
		}
		r->n_fields = i + 1;
	}
	return 0;
}

int
redis_new(struct redis **ret, sd_event *loop, const char *service, const char *dir,
	const char *socket_template, const json_t *fields, redis_done_fn *done, void *arg)
{
	static const char run[] = "{run}/";
	SCOPED(redis_freep) struct redis *r = calloc(1, sizeof(*r));
	const char *name = socket_template + sizeof(run) - 1;
	int res;

	if (!r)
		return FAULT(-ENOMEM);
	r->fd = -1;
	if (strncmp(socket_template, run, sizeof(run) - 1) != 0 || !*name || strchr(name, '/') ||
		strlen(name) > 64 || strcmp(name, "..") == 0)
		return REFUSE(REASON_MALFORMED, service, "socket \"%s\" is not {run}/NAME",
			socket_template);
	r->loop = sd_event_ref(loop);
	r->answer = BUF_MAX(REDIS_INFO_MAX);
	r->service = strdup(service);
	r->dir = strdup(dir);
	r->name = strdup(name);
	r->done = done;
	r->arg = arg;
	if (!r->service || !r->dir || !r->name)
		return FAULT(-ENOMEM);
	res = copy_fields(r, fields);
	if (res != 0)
		return res < 0 ? FAULT(res) : res;
	*ret = STEAL(r);
	return 0;
}

struct redis *
redis_free(struct redis *r)
{
	size_t i;

	if (!r)
		return NULL;
	loop_unwatch(r->watch);
	loop_cancel(r->timer);
	scope_close(&r->fd);
	buf_done(&r->answer);
	sample_done(&r->samples);
	for (i = 0; r->fields && i <= r->n_fields; i++) {
		free(r->fields[i].info);
		free(r->fields[i].metric);
	}
	free(r->fields);
	free(r->service);
	free(r->dir);
	free(r->name);
	sd_event_unref(r->loop);
	free(r);
	return NULL;
}

const struct sample_set *
redis_samples(const struct redis *r)
{
	return &r->samples;
}

/* --- reading the answer -------------------------------------------------------------------------------- */
static void
on_uptime(const char *field, const struct redis_info_number *n, void *arg)
{
	struct redis *r = arg;

	if (strcmp(field, "uptime_in_seconds") == 0 && n->is_int && n->whole >= 0 &&
		(uint64_t)n->whole < r->now_us / CLOCK_US_PER_S)
		r->uptime_us = (uint64_t)n->whole * CLOCK_US_PER_S;
}

static const char *
unit_of(const char *field)
{
	if (strncmp(field, "used_memory", 11) == 0 || strncmp(field, "maxmemory", 9) == 0 ||
		strstr(field, "_bytes"))
		return strstr(field, "ratio") ? "1" : "By";
	if (strstr(field, "_seconds") || strncmp(field, "used_cpu", 8) == 0)
		return "s";
	return "1";
}

static void
on_field(const char *field, const struct redis_info_number *n, void *arg)
{
	struct redis *r = arg;
	struct otlp_sample *p;
	size_t i;

	for (i = 0; i < r->n_fields && strcmp(r->fields[i].info, field) != 0; i++)
		;
	if (i == r->n_fields)
		return;
	p = sample_gauge(&r->samples, r->service, r->fields[i].metric, unit_of(field), r->now_us,
		n->real);
	if (p && redis_info_is_counter(field))
		sample_count(p, r->now_us - r->uptime_us, n->real);
	if (p && n->is_int) {
		p->is_int = true;
		p->whole = n->whole;
	}
}

/* The probe has ended: keep what it gave, let the connection go, and tell. */
static void
finish(struct redis *r, bool up, const uint8_t *text, size_t len)
{
	r->watch = loop_unwatch(r->watch);
	r->timer = loop_cancel(r->timer);
	scope_close(&r->fd);
	r->fd = -1;
	r->now_us = clock_now_us();
	r->uptime_us = 0;
	sample_reset(&r->samples);
	sample_gauge_int(&r->samples, r->service, "redis_up", "1", r->now_us, up);
	if (text) {
		redis_info_each(text, len, on_uptime, r);
		redis_info_each(text, len, on_field, r);
	}
	buf_reset(&r->answer);
	r->done(r->arg);
}

static void
on_timeout(void *arg)
{
	finish(arg, false, NULL, 0);
}

static void
on_readable(uint32_t revents, void *arg)
{
	struct redis *r = arg;
	uint8_t *at = buf_reserve(&r->answer, 16 * 1024);
	const uint8_t *text;
	size_t len, used;
	ssize_t n;
	int res;

	(void)revents; /* an error or the end shows itself in recv() */
	if (!at) { /* longer than an answer may be, or no memory */
		finish(r, false, NULL, 0);
		return;
	}
	n = recv(r->fd, at, 16 * 1024, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		finish(r, false, NULL, 0);
		return;
	}
	buf_advance(&r->answer, (size_t)n);
	res = redis_info_frame(r->answer.data, r->answer.len, &text, &len, &used);
	if (res == REDIS_INFO_MORE)
		return;
	if (res == 0)
		finish(r, true, text, len);
	else /* an error (no permission, still loading) is an answer, too; nonsense is not */
		finish(r, res == REDIS_INFO_ERROR, NULL, 0);
}

/* --- asking ---------------------------------------------------------------------------------------------- */
/* Connect through a descriptor: the path may be longer than an address can hold, and what stands there may
 * be a link, for the service owns the folder. */
static int
ask(struct redis *r)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	SCOPED(scope_close) int dir_fd = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_close) int socket_fd = -1;
	SCOPED(scope_close) int fd = -1;
	struct stat st;

	if (dir_fd < 0)
		return -errno;
	socket_fd = openat(dir_fd, r->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (socket_fd < 0 || fstat(socket_fd, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d", socket_fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A frozen server with a full backlog gives EAGAIN here: it does not answer either. */
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	if (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(question) - 1)
		return -EPIPE;
	r->fd = STEAL_FD(fd);
	return loop_watch(&r->watch, r->loop, r->fd, EPOLLIN, on_readable, r);
}

void
redis_probe(struct redis *r)
{
	int res;

	if (r->timer)
		return;
	res = ask(r);
	if (res < 0)
		log_debug("%s: %s", r->service, strerror(-res));
	/* Without a connection the end is told from the loop all the same. */
	if (loop_after(&r->timer, r->loop, res < 0 ? 0 : REDIS_TIMEOUT_MS, on_timeout, r) < 0)
		finish(r, false, NULL, 0);
}
