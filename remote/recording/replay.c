#include "remote/recording/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "remote/recording/cast.h"
#include "remote/recording/recordings.h"
#include "remote/recording/replay_filter.h"

enum { ANSWER_MS = 30 * 1000, FILE_BYTES_MAX = RECORDINGS_BYTES_MAX, SPEED_MAX = 1000 };

struct player {
	struct command_call *call;
	const char *what;     /* the recording, for refusals */
	bool dump;	      /* no waiting */
	double speed;
	uint64_t idle_us;     /* no pause is longer; 0: as they were */
	bool terminal;
	struct replay_filter filter;
	unsigned line;
	uint64_t at_us;	      /* of the last event */
	char how[CAST_TITLE_MAX + 1]; /* the last marker */
};

/* --- playing ---------------------------------------------------------------------------------- */
static void
wait_for(struct player *p, uint64_t at_us)
{
	uint64_t us = at_us > p->at_us ? at_us - p->at_us : 0;
	struct timespec t;

	p->at_us = at_us > p->at_us ? at_us : p->at_us;
	if (p->dump || us == 0)
		return;
	if (p->idle_us > 0 && us > p->idle_us)
		us = p->idle_us;
	us = (uint64_t)((double)us / p->speed);
	t = (struct timespec){ (time_t)(us / CLOCK_US_PER_S), (long)(us % CLOCK_US_PER_S) * 1000 };
	(void)fflush(stdout);
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static int
print_buf(const struct buf *b)
{
	if (buf_error(b))
		return FAULT(buf_error(b));
	return fwrite(buf_text(b), 1, b->len, stdout) == b->len ? 0 : FAULT(-EIO);
}

static int
show(struct player *p, const struct cast_event *e)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(8 * CAST_LINE_MAX);

	if (e->code == 'm')
		(void)snprintf(p->how, sizeof(p->how), "%s", e->text);
	if (e->code != 'o')
		return 0;
	wait_for(p, e->at_us);
	if (p->terminal)
		replay_filter_put(&p->filter, e->text, &out);
	else
		buf_puts(&out, e->text);
	return print_buf(&out);
}

static int
say_header(struct player *p, const struct cast_header *h)
{
	char when[CLOCK_TEXT_MAX];

	if (!p->dump && p->terminal)
		command_say(p->call, "%s%s%s", h->title, *h->title ? ", recorded " : "recorded ",
			clock_format_s(when, h->timestamp * CLOCK_US_PER_S));
	return 0;
}

static int
play_line(struct player *p, const char *line, size_t len)
{
	SCOPED(cast_event_done) struct cast_event e = { 0 };
	struct cast_header h;
	int r;

	if (p->line++ == 0) {
		r = cast_header_read(&h, line, len, p->what);
		return r ?: say_header(p, &h);
	}
	r = cast_event_read(&e, line, len, p->what, p->line);
	return r ?: show(p, &e);
}

static int
play(struct player *p, const char *text, size_t len)
{
	const char *end = text + len;
	int r = 0;

	while (text < end && r == 0) {
		const char *line = memchr(text, '\n', (size_t)(end - text)) ?: end;

		r = play_line(p, text, (size_t)(line - text));
		text = line < end ? line + 1 : end;
	}
	return r;
}

static int
finish(struct player *p)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1024);

	if (p->line == 0)
		return REFUSE(REASON_MALFORMED, p->what, "is no recording: it is empty");
	replay_filter_end(&p->filter, &out);
	if (print_buf(&out) || fflush(stdout) != 0)
		return FAULT(-EIO);
	/* On stderr: what goes into a file is the program's words alone. */
	command_put(stderr, *p->how ? p->how : "it still runs, or was never closed");
	(void)fputc('\n', stderr);
	return 0;
}

/* --- from where ------------------------------------------------------------------------------- */
static int
play_file(struct player *p)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	int r = command_read_file(p->what, FILE_BYTES_MAX, &b);

	return r ?: play(p, buf_text(&b), b.len);
}

static int
play_kept(struct player *p)
{
	uint64_t from = 0;

	for (;;) {
		struct call_request *request = call_new("recordings.read");
		SCOPED_JSON *answer = NULL;
		char at[32];
		const char *text;
		size_t len;
		int r;

		(void)snprintf(at, sizeof(at), "%" PRIu64, from);
		call_param(request, "id", p->what);
		call_param(request, "from", at);
		r = ask_monitor(p->call, request, ANSWER_MS, &answer);
		if (r)
			return r;
		text = json_text(answer, "text");
		len = strlen(text);
		if (len == 0)
			return 0;
		from += len;
		r = play(p, text, len);
		if (r)
			return r;
	}
}

static int
read_number(const struct command_call *call, const char *name, double least, double most, double *ret)
{
	const char *text = command_option(call, name);
	char *end = NULL;
	double v;

	if (!text)
		return 0;
	v = strtod(text, &end);
	if (end == text || *end != '\0' || !(v >= least && v <= most))
		return REFUSE(REASON_USAGE, text, "--%s is a number from %g to %g", name, least, most);
	*ret = v;
	return 0;
}

/* --- commands --------------------------------------------------------------------------------- */
static int
run_replay(struct command_call *call)
{
	struct player p = { .call = call,
		.what = call->operands[0],
		.dump = command_option(call, "dump") != NULL,
		.speed = 1,
		.terminal = isatty(STDOUT_FILENO) == 1 };
	double idle = 0;
	int r = read_number(call, "speed", 0.01, SPEED_MAX, &p.speed);

	r = r ?: read_number(call, "idle", 0.001, CAST_SECONDS_MAX, &idle);
	if (r)
		return r;
	p.idle_us = (uint64_t)(idle * CLOCK_US_PER_S);
	/* An id holds neither. */
	r = strpbrk(p.what, "./") || strcmp(p.what, "-") == 0 ? play_file(&p) : play_kept(&p);
	return r ?: finish(&p);
}

static int
run_list(struct command_call *call)
{
	static const char *const columns[] = { "n", "id", "title", "time", "bytes", "state", NULL };
	SCOPED_JSON *answer = NULL;
	json_int_t removed;
	int r = ask_monitor(call, call_new("recordings.list"), ANSWER_MS, &answer);

	if (r)
		return r;
	r = command_print_items(call, "RecordingList", json_incref(json_object_get(answer, "items")), columns);
	removed = json_integer_value(json_object_get(answer, "removed"));
	if (r == 0 && removed > 0)
		command_say(call, "%lld older ones went to make room", (long long)removed);
	return r;
}

static const struct command_option replay_options[] = {
	{ .name = "speed", .value = "N", .help = "so many times as fast" },
	{ .name = "idle", .value = "SECONDS", .help = "no pause is longer than this" },
	{ .name = "dump", .help = "all at once" },
	{ 0 },
};

const struct command replay_commands[] = {
	{ .name = "replay list",
		.summary = "the recordings that are kept",
		.examples = "mainstay replay list",
		.run = run_list },
	{ .name = "replay",
		.args = "ID|FILE",
		.min = 1,
		.max = 1,
		.summary = "what an operation wrote, as it wrote it",
		.details = "ID is a request's, FILE a recording of an export (asciicast v2; any player of such takes it). On a "
			   "terminal only text and colours are let through: what the program wrote to steer one is shown, "
			   "not done. How it ended is said on stderr.",
		.options = replay_options,
		.examples = "mainstay replay r-1f2e --speed 2 --idle 1\n"
			    "mainstay replay r-1f2e --dump\n"
			    "mainstay replay requests/r-1f2e.cast",
		.run = run_replay },
	{ 0 },
};
