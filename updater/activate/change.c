#include "updater/activate/change.h"

#include "appliance/base/log.h"

/* Where each step of an item leads when it went well and when it failed.  The step after CHECK, and after SOAK, waits
 * until the change comes back to this item (change_current). */
static const struct {
	const char *name;
	enum change_step done, failed;
} steps[CHANGE_STEP_MAX] = {
	[CHANGE_STAGE] = { "stage", CHANGE_CHECK, CHANGE_ROLLED_BACK },
	[CHANGE_CHECK] = { "check", CHANGE_SNAPSHOT, CHANGE_ROLLED_BACK },
	[CHANGE_SNAPSHOT] = { "snapshot", CHANGE_STOP, CHANGE_ROLLED_BACK },
	[CHANGE_STOP] = { "stop", CHANGE_SWITCH, CHANGE_UNDO_START },
	[CHANGE_DATA] = { "data", CHANGE_SWITCH, CHANGE_UNDO_DATA },
	[CHANGE_SWITCH] = { "switch", CHANGE_START, CHANGE_UNDO_SWITCH },
	[CHANGE_START] = { "start", CHANGE_HEALTH, CHANGE_UNDO_STOP },
	[CHANGE_HEALTH] = { "health", CHANGE_SOAK, CHANGE_UNDO_STOP },
	[CHANGE_SOAK] = { "soak", CHANGE_COMMIT, CHANGE_UNDO_STOP },
	[CHANGE_COMMIT] = { "commit", CHANGE_GOOD, CHANGE_UNDO_STOP },
	[CHANGE_UNDO_STOP] = { "undo-stop", CHANGE_UNDO_DATA, CHANGE_UNDO_SWITCH },
	[CHANGE_UNDO_DATA] = { "undo-data", CHANGE_UNDO_SWITCH, CHANGE_FAILED },
	[CHANGE_UNDO_SWITCH] = { "undo-switch", CHANGE_UNDO_START, CHANGE_FAILED },
	[CHANGE_UNDO_START] = { "undo-start", CHANGE_ROLLED_BACK, CHANGE_FAILED },
	[CHANGE_GOOD] = { "good", CHANGE_GOOD, CHANGE_GOOD },
	[CHANGE_ROLLED_BACK] = { "rolled-back", CHANGE_ROLLED_BACK, CHANGE_ROLLED_BACK },
	[CHANGE_FAILED] = { "failed", CHANGE_FAILED, CHANGE_FAILED },
};

static const char *const kinds[CHANGE_KIND_MAX] = {
	[CHANGE_APPLY] = "apply",
	[CHANGE_INSTALL] = "install",
	[CHANGE_ROLLBACK] = "rollback",
	[CHANGE_AUTO] = "auto",
};

const char *
change_step_text(enum change_step step)
{
	return step < CHANGE_STEP_MAX ? steps[step].name : "?";
}

const char *
change_kind_text(enum change_kind kind)
{
	return kind < CHANGE_KIND_MAX ? kinds[kind] : "?";
}

static bool
item_over(const struct change_item *item)
{
	return item->step >= CHANGE_GOOD;
}

const struct change_item *
change_find(const struct change *c, const char *service)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->items[i].service, service) == 0)
			return &c->items[i];
	return NULL;
}

/* The first item whose step is below limit. */
static size_t
first_below(const struct change *c, enum change_step limit)
{
	size_t i = 0;

	while (i < c->n && c->items[i].step >= limit)
		i++;
	return i;
}

size_t
change_current(const struct change *c)
{
	size_t i;

	if (c->reason != REASON_NONE) {
		for (i = c->n; i-- > 0;)
			if (!item_over(&c->items[i]))
				return i;
		return c->n;
	}
	i = first_below(c, CHANGE_CHECK);
	if (i == c->n)
		i = first_below(c, CHANGE_SNAPSHOT);
	if (i == c->n)
		i = first_below(c, CHANGE_COMMIT);
	return i == c->n ? first_below(c, CHANGE_GOOD) : i;
}

enum change_step
change_outcome(const struct change *c)
{
	enum change_step worst = CHANGE_GOOD;

	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].step > worst)
			worst = c->items[i].step;
	return worst;
}

/* --- going back ------------------------------------------------------------------------------------------------ */
/* What a worker or a definition said is kept in JSON and shown on terminals. */
static void
note(char out[CHANGE_TEXT_MAX], const char *service, const char *step, const char *text)
{
	char line[2 * CHANGE_TEXT_MAX];

	(void)snprintf(line, sizeof(line), "%s: %s: %s", service, step, text ? text : "");
	log_escape(out, CHANGE_TEXT_MAX, line);
}

/* The item ends where it is: only a person can go on. */
static void
give_up(struct change *c, struct change_item *item, const char *text)
{
	char line[CHANGE_TEXT_MAX];

	(void)snprintf(line, sizeof(line), "%.160s; see: mainstay service logs %s", text ? text : "", item->service);
	if (!c->remedy[0])
		note(c->remedy, item->service, change_step_text(item->step), line);
	item->step = CHANGE_FAILED;
}

/* From `next` on the item goes back, where its data can. */
static void
turn_back(struct change *c, struct change_item *item, enum change_step next)
{
	bool replaced = item->restore[0] && (next == CHANGE_UNDO_DATA || next == CHANGE_UNDO_SWITCH);

	if (replaced && !item->restores)
		give_up(c, item, "its data was, or was half, replaced by the snapshot's, and what it was is not kept");
	else if (next == CHANGE_UNDO_STOP && item->one_way && !item->restores)
		give_up(c, item, "the new release stays, for its data cannot go back and no snapshot can be restored");
	else
		item->step = replaced ? CHANGE_UNDO_DATA : next;
}

/* Where the step that went well leads. */
static enum change_step
next_of(const struct change_item *item)
{
	enum change_step next = item->step == CHANGE_STOP ? CHANGE_DATA : steps[item->step].done;

	return next == CHANGE_DATA && !item->restore[0] ? CHANGE_SWITCH : next;
}

/* Each item as far as it had come; the one that failed, too. */
static void
all_back(struct change *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct change_item *item = &c->items[i];

		turn_back(c, item, item->step == CHANGE_GOOD ? CHANGE_UNDO_STOP : steps[item->step].failed);
	}
}

void
change_advance(struct change *c, int r, const char *text)
{
	size_t i = change_current(c);
	struct change_item *item = &c->items[i];

	if (i == c->n)
		return;
	if (r == 0) {
		item->step = next_of(item);
		return;
	}
	if (c->reason == REASON_NONE) {
		c->reason = r > 0 ? (enum reason)r : REASON_FAULT;
		note(c->text, item->service, change_step_text(item->step), text);
		all_back(c);
		return;
	}
	/* While the new release may still run, the data under it is not replaced. */
	if (steps[item->step].failed == CHANGE_FAILED || item->one_way)
		give_up(c, item, text);
	else
		item->step = steps[item->step].failed;
}
