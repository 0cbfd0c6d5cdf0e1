#include "appliance/monitor/cosign_room.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/witnesses.h"

enum { BACKOFF_CAP_S = 600 };

/* --- the list --------------------------------------------------------------------------------------- */
static bool
same_key(const struct note_key *a, const struct note_key *b)
{
	return memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

/* The size of the kept cosigned head where this witness has cosigned that one. */
static uint64_t
kept_size(struct monitor *m, const struct note_key *key)
{
	const char *text = audit_cosigned_note(m->audit);
	SCOPED(note_freep) struct note *note = NULL;

	if (!text || note_open(&note, text, strlen(text), "cosigned") != 0)
		return 0;
	return note_has(note, key) && note_verify(note, key, NULL) == 0 ? audit_cosigned(m->audit)
									: 0;
}

static void
add_cosigner(struct cosigning *s, const struct cosigning *before, const struct note_key *key,
	const char *url)
{
	struct cosigner *c = &s->who[s->n++];

	for (size_t i = 0; i < before->n; i++)
		if (same_key(&before->who[i].key, key) && strcmp(before->who[i].url, url) == 0) {
			*c = before->who[i];
			return;
		}
	*c = (struct cosigner){ .key = *key, .cosigned = kept_size(s->m, key) };
	(void)snprintf(c->url, sizeof(c->url), "%s", url);
}

void
cosigner_read_all(struct cosigning *s)
{
	const struct quorum *q = witnesses_quorum(s->m);
	struct cosigning *before = malloc(sizeof(*before));

	if (!before) {
		log_fault(FAULT(-ENOMEM), "reading who cosigns"); /* read again in the next second */
		return;
	}
	*before = *s;
	s->n = 0;
	add_cosigner(s, before, &s->m->site.witness, "");
	for (size_t i = 0; q && i < quorum_n_witnesses(q); i++) {
		const struct quorum_witness *w = quorum_witness(q, i);

		if (w->url[0] && !same_key(&w->key, &s->m->site.witness))
			add_cosigner(s, before, &w->key, w->url);
	}
	free(before);
	s->stale = false;
}

/* --- one of them ------------------------------------------------------------------------------------ */
uint64_t
cosigner_old_size(const struct cosigner *c)
{
	return c->told ? c->old : c->cosigned;
}

bool
cosigner_is_due(const struct cosigning *s, const struct cosigner *c)
{
	return c->cosigned < audit_size(s->m->audit) && clock_mono_us() >= c->due_us;
}

void
cosigner_done(struct cosigner *c, uint64_t size)
{
	c->cosigned = size;
	c->told = false;
	c->tries = 0;
	c->trouble[0] = 0;
	c->due_us = 0;
}

void
cosigner_trouble(struct cosigner *c, const char *fmt, ...)
{
	char text[COSIGNER_TROUBLE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->waiting = false;
	c->due_us = clock_mono_us() +
		clock_backoff_us(c->tries++, COSIGN_GAP_S * CLOCK_US_PER_S,
			BACKOFF_CAP_S * CLOCK_US_PER_S);
	if (strcmp(text, c->trouble) != 0)
		log_warning("witness %s: %s", c->key.name, text);
	(void)snprintf(c->trouble, sizeof(c->trouble), "%s", text);
}
