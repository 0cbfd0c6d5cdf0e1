#include "remote/desk/desk_wait.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "remote/desk/desk_answer.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_live.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/mailbox/mailbox_wire.h"

enum {
	REQUEST_S = 20,
	QUICK_MS = 100, /* a hub that answers at once and has nothing to say is not asked more often */
	EARLY_MS = 1000, /* nor one that says that it is over before it is */
	AWAY_MS = 1000, /* nor one that does not answer */
};

int
desk_wait_span(struct command_call *call, uint64_t otherwise_s, uint64_t *ret_us)
{
	const char *wait = command_option(call, "wait");

	*ret_us = otherwise_s * CLOCK_US_PER_S;
	return wait && clock_parse_span(ret_us, wait)
		? REFUSE(REASON_USAGE, "--wait", "a span like 90s, 10m or 1h")
		: 0;
}

/* --- who gives up waiting ------------------------------------------------------------------------- */
static struct {
	char text[512]; /* made before: a handler formats nothing */
	size_t len;
	struct sigaction interrupt, terminate;
} gone;

static void
on_signal(int number)
{
	ssize_t n = write(STDERR_FILENO, gone.text, gone.len);

	(void)number;
	(void)n;
	_exit(COMMAND_EXIT_LATER);
}

static void
watch_signals(const char *id)
{
	struct sigaction action = { .sa_handler = on_signal };
	int n = snprintf(gone.text, sizeof(gone.text),
		"\nnobody waits any more, and the request goes on:\n"
		"  look    mainstay-desk requests %s\n"
		"  cancel  mainstay-desk cancel %s --reason TEXT\n",
		id, id);

	gone.len = n < (int)sizeof(gone.text) ? (size_t)n : sizeof(gone.text) - 1;
	(void)sigaction(SIGINT, &action, &gone.interrupt);
	(void)sigaction(SIGTERM, &action, &gone.terminate);
}

static void
unwatch_signals(void)
{
	(void)sigaction(SIGINT, &gone.interrupt, NULL);
	(void)sigaction(SIGTERM, &gone.terminate, NULL);
}

/* --- polls ---------------------------------------------------------------------------------------- */
/* Signed by a key that we do not know: it may have rotated since we asked.  No key before the one that we asked under
 * counts. */
static int
take_after_rotation(struct desk_wait *w, const json_t *doc)
{
	SCOPED(desk_trust_site_done) struct desk_site now = { 0 };
	int r = desk_trust_site(w->d, w->site->site, false, &now);

	if (r)
		return r;
	desk_pin_answering(&w->answer->keys, &now, 0, w->site->key);
	return desk_answer_take(w->answer, doc);
}

/* The hub answers as soon as it is in another state than the one we know, or has more to show. */
static int
ask(struct desk_wait *w, unsigned s, json_t **ret)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "/v1/fleet/requests/%s?wait=%u&state=%s&progress=%llu", w->answer->id, s,
		w->answer->state, (unsigned long long)w->live->seen);
	return desk_client_get(w->d, path, s + REQUEST_S, ret);
}

/* It has just said that it expired. */
static void
say_early(const struct desk_wait *w)
{
	char text[CLOCK_TEXT_MAX];

	log_warning("%s: the hub says that it expired, but it ends %s: waiting on", w->answer->id,
		clock_format(text, w->answer->expires_us));
}

static void
pause_ms(unsigned ms)
{
	const struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000 * 1000 };

	(void)nanosleep(&pause, NULL);
}

static int
poll_once(struct desk_wait *w, unsigned s)
{
	uint64_t before = clock_mono_us();
	SCOPED_JSON *doc = NULL;
	unsigned fresh = 0, news = w->answer->news;
	int r;

	r = ask(w, s, &doc);
	if (!r)
		fresh = desk_live_take(w->live, w->answer, doc);
	r = r ?: desk_answer_take(w->answer, doc);
	if (r == REASON_UNKNOWN_KEY)
		r = take_after_rotation(w, doc);
	if (r || s == 0)
		return r;
	if (desk_answer_early(w->answer) && w->answer->news != news)
		say_early(w);
	else if (fresh == 0 && w->answer->news == news &&
		clock_mono_us() - before < QUICK_MS * CLOCK_US_PER_MS)
		pause_ms(desk_answer_early(w->answer) ? EARLY_MS : QUICK_MS);
	return 0;
}

/* The hub has the request, so one that does not answer is away for a while: restarted, or nginx before it. */
static bool
waits_on(const struct desk_wait *w, int r, bool *away)
{
	if (r == 0 && *away)
		log_warning("%s: the hub answers again", w->answer->id);
	if (r == REASON_UNREACHABLE && !*away)
		log_warning("%s: the hub does not answer (%s): waiting on", w->answer->id, refuse_last()->text);
	*away = r == REASON_UNREACHABLE;
	if (*away)
		pause_ms(AWAY_MS);
	return r == 0 || *away;
}

int
desk_wait_for(struct desk_wait *w)
{
	uint64_t end = clock_mono_us() + w->wait_us;
	bool away = false;
	unsigned s = 1;
	int r = 0;

	watch_signals(w->answer->id);
	while (s > 0 && !desk_answer_over(w->answer)) {
		uint64_t now = clock_mono_us();
		uint64_t left_s = now < end ? (end - now + CLOCK_US_PER_S - 1) / CLOCK_US_PER_S : 0;

		/* Who reads a pipe is to see how it stands, too; and nothing is to be lost with an interrupt. */
		(void)fflush(stdout);
		s = left_s < MAILBOX_WIRE_WAIT_MAX_S ? (unsigned)left_s : MAILBOX_WIRE_WAIT_MAX_S;
		r = poll_once(w, s);
		if (s > 0 && !waits_on(w, r, &away))
			break;
	}
	unwatch_signals();
	desk_live_end(w->live, w->answer);
	return r;
}
