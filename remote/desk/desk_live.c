#include "remote/desk/desk_live.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/command.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "remote/desk/desk_answer.h"
#include "remote/request/progress.h"

enum { LINE_MAX_BYTES = 4 * REQUEST_PROGRESS_MAX };

static const char *const marks[PROGRESS_KIND_MAX] = {
	[PROGRESS_STATE] = "live: ",
	[PROGRESS_OUT] = "live | ",
	[PROGRESS_ERR] = "live ! ",
};

void
desk_live_done(struct desk_live *l)
{
	buf_done(&l->out);
}

static void
end_line(struct desk_live *l)
{
	if (l->mid_line)
		command_put(stderr, "\n");
	l->mid_line = false;
}

/* Each line of it begins with its mark; one that a piece leaves open is ended before the next, which begins a new one. */
static void
show(struct desk_live *l, const struct progress *p)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LINE_MAX_BYTES);
	const char *text = p->text;

	end_line(l);
	while (*text) {
		size_t n = strcspn(text, "\n");

		buf_puts(&b, marks[p->kind]);
		buf_put(&b, text, n);
		text += n;
		l->mid_line = *text == '\0';
		if (*text == '\n') {
			buf_puts(&b, "\n");
			text++;
		}
	}
	if (p->kind == PROGRESS_STATE && l->mid_line) {
		buf_puts(&b, "\n");
		l->mid_line = false;
	}
	if (!buf_error(&b))
		command_put(stderr, buf_text(&b));
	(void)fflush(stderr);
}

static void
drop(struct desk_live *l, const struct desk_answer *a, int reason, const char *why)
{
	if (l->dropped++ > 0)
		return;
	end_line(l);
	log_warning("%s: dropped from what is shown live: %s [%s]", a->id, why, refuse_token((enum reason)reason));
}

int
desk_live_read(struct desk_answer *a, const json_t *envelope, struct progress **ret)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(progress_freep) struct progress *p = NULL;
	int r = desk_answer_open(a, MESSAGE_PROGRESS, envelope, &e, NULL);

	r = r ?: progress_parse(&p, e->payload);
	if (r)
		return r;
	if (memcmp(p->request, a->request, sizeof(a->request)) != 0)
		return REFUSE(REASON_ALTERED, a->id, "the hub shows what another request said");
	*ret = STEAL(p);
	return 0;
}

static void
take(struct desk_live *l, struct desk_answer *a, const struct progress *p)
{
	uint64_t missing = p->n - l->seen - 1;

	l->seen = p->n;
	desk_answer_said(a, p);
	l->holes = l->holes || missing > 0;
	if (p->kind == PROGRESS_OUT && !l->holes)
		buf_puts(&l->out, p->text);
	if (a->call->json)
		return;
	if (missing > 0) {
		end_line(l);
		(void)fprintf(stderr, "live: %llu pieces are missing here: the result will have all\n",
			(unsigned long long)missing);
	}
	show(l, p);
}

unsigned
desk_live_take(struct desk_live *l, struct desk_answer *a, const json_t *doc)
{
	const json_t *list = json_object_get(doc, "progress"), *item;
	unsigned fresh = 0;
	size_t i;

	json_array_foreach(list, i, item) {
		SCOPED(progress_freep) struct progress *p = NULL;
		int r = desk_live_read(a, item, &p);

		if (r) {
			drop(l, a, r < 0 ? REASON_FAULT : r, "a piece that the site did not sign about this request");
		} else if (p->n <= l->seen) {
			drop(l, a, REASON_REPLAYED, "a piece that came before");
		} else {
			take(l, a, p);
			fresh++;
		}
	}
	return fresh;
}

void
desk_live_end(struct desk_live *l, const struct desk_answer *a)
{
	end_line(l);
	if (l->dropped > 1)
		log_warning("%s: %u pieces were dropped from what was shown live", a->id, l->dropped);
}

bool
desk_live_showed(const struct desk_live *l, const char *out)
{
	return isatty(STDOUT_FILENO) && isatty(STDERR_FILENO) && *out && !l->holes && !buf_error(&l->out) &&
		l->out.len == strlen(out) && memcmp(l->out.data, out, l->out.len) == 0;
}
