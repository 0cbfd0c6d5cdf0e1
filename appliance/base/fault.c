#include "appliance/base/fault.h"

#include <stdio.h>
#include <string.h>

enum { TRAIL_MAX = 16 };

struct step {
	const char *file;
	const char *func;
	int line;
	int r;
};

/* The trail of the fault that rises in this thread.  A fault that somebody swallowed leaves its steps
 * behind; another errno, or the same origin again, begins a new trail. */
static _Thread_local struct step trail[TRAIL_MAX];
static _Thread_local size_t n_trail;

int
fault_note(int r, const char *file, int line, const char *func)
{
	const struct step step = { file, func, line, r };

	if (r >= 0)
		return r;
	if (n_trail > 0 && trail[0].r != r)
		n_trail = 0;
	if (n_trail > 0 && trail[0].line == line && strcmp(trail[0].file, file) == 0)
		n_trail = 0;
	if (n_trail == TRAIL_MAX) /* the origin says most: it stays, the last step is overwritten */
		n_trail--;
	trail[n_trail++] = step;
	return r;
}

void
fault_take(char *text, size_t size)
{
	size_t at = 0;

	if (size == 0)
		return;
	text[0] = '\0';
	for (size_t i = 0; i < n_trail && at < size; i++) {
		const struct step *s = &trail[i];
		int n;

		if (i == 0)
			n = snprintf(text + at, size - at, "%s:%d %s: %s", s->file, s->line,
				s->func, strerrordesc_np(-s->r) ?: "unknown error");
		else
			n = snprintf(text + at, size - at, " < %s:%d %s", s->file, s->line,
				s->func);
		if (n < 0)
			break;
		at += (size_t)n;
	}
	n_trail = 0;
}
