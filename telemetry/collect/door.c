#include "telemetry/collect/door.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/filter.h"

enum { BYTES_MAX = 2 * 1024 * 1024 };

struct door {
	int dir_fd; /* borrowed */
	bool keep;
	struct filter *filter;
	struct pseudonym *pseudonym;
	struct outgoing outgoing;
	uint64_t reviewed_at_us; /* boot time: waiting.json was written; 0: never */
	size_t n_waiting;	 /* in it */
	bool decided; /* since then something was accepted or refused: it is written at once */
};

static int
load(const struct door *d, const char *name, json_t **ret)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(BYTES_MAX);
	int r = fs_read(d->dir_fd, name, in.max, &in);

	return r ?: json_read(ret, in.data, in.len, in.max, name);
}

/* Damage costs what was remembered, no more. */
static int
load_all(struct door *d)
{
	SCOPED_JSON *waiting = NULL, *pins = NULL;
	int r;

	r = load(d, DOOR_SHAPES_NAME, &pins);
	if (r == 0)
		r = filter_set_pins(d->filter, pins);
	if (r < 0)
		return FAULT(r);
	r = load(d, DOOR_WAITING_NAME, &waiting);
	if (r == 0)
		filter_remember(d->filter, waiting);
	return r < 0 ? FAULT(r) : 0;
}

int
door_open(struct door **ret, int dir_fd, unsigned pseudonyms, bool keep)
{
	SCOPED(door_freep) struct door *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return FAULT(-ENOMEM);
	d->dir_fd = dir_fd;
	d->keep = keep;
	d->outgoing.site = "";
	r = filter_new(&d->filter);
	r = r ?: pseudonym_open(&d->pseudonym, dir_fd, keep);
	r = r ?: redact_new(&d->outgoing.redact, d->pseudonym, pseudonyms);
	r = r ?: load_all(d);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	d->outgoing.filter = d->filter;
	*ret = STEAL(d);
	return 0;
}

struct door *
door_free(struct door *d)
{
	if (!d)
		return NULL;
	redact_free(d->outgoing.redact);
	pseudonym_free(d->pseudonym);
	filter_free(d->filter);
	free(d);
	return NULL;
}

int
door_set(struct door *d, const struct config *config)
{
	SCOPED_JSON *releases = json_object();
	int r;

	for (size_t i = 0; i < config->n_services; i++)
		if (json_object_set_new(releases, config->services[i].name,
			    json_string(config->services[i].release)) < 0)
			return FAULT(-ENOMEM);
	r = filter_set_accepted(d->filter, config->fields);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	filter_set_fates(d->filter, &config->fates);
	filter_set_releases(d->filter, releases);
	d->outgoing.site = config->site ? config->site : "";
	d->decided = true;
	return 0;
}

struct outgoing *
door_outgoing(struct door *d)
{
	return &d->outgoing;
}

int
door_before_write(struct door *d)
{
	return FAULT(pseudonym_save(d->pseudonym));
}

/* --- what is kept -------------------------------------------------------------------------------------------- */
static void
save(const struct door *d, const char *name, const json_t *doc)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(BYTES_MAX);
	int r = json_canonical(&out, doc);

	r = r ?: fs_replace(d->dir_fd, name, out.data, out.len, 0640);
	if (r < 0)
		log_fault(r, name);
}

static void
save_waiting(struct door *d, uint64_t mono_us)
{
	SCOPED_JSON *list = filter_waiting(d->filter);
	size_t n = json_array_size(list);

	if (!d->decided && n == d->n_waiting && d->reviewed_at_us &&
		(n == 0 || mono_us < d->reviewed_at_us + DOOR_REVIEW_S * CLOCK_US_PER_S))
		return;
	save(d, DOOR_WAITING_NAME, list);
	d->decided = false;
	d->n_waiting = n;
	d->reviewed_at_us = mono_us;
}

void
door_keep(struct door *d, uint64_t mono_us)
{
	int r;

	if (!d->keep)
		return;
	save_waiting(d, mono_us);
	if (filter_pinned(d->filter))
		save(d, DOOR_SHAPES_NAME, filter_pins(d->filter));
	r = pseudonym_look(d->pseudonym);
	if (r < 0)
		log_fault(r, "making a key for pseudonyms");
}
