#include "remote/desk/desk_pin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/rotate.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"

enum { BYTES_MAX = 1024 };

struct pin {
	uint64_t record_us; /* when the record that it was reached from was signed */
	uint64_t at_us;	    /* when the last step to it was made, and not later than it was seen here; 0: by the record alone */
	uint8_t key[32];
};

static const struct json_field table[] = {
	{ "record", JSON_KIND_TIME, false, offsetof(struct pin, record_us), 0 },
	{ "at", JSON_KIND_TIME, true, offsetof(struct pin, at_us), 0 },
	{ "key", JSON_KIND_KEY, false, offsetof(struct pin, key), 0 },
};

static int
load(int fd, const char *name, struct pin *ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	int r = fs_read(fd, name, BYTES_MAX, &b);

	if (r == REASON_NOT_FOUND)
		return r;
	r = r ?: json_read(&doc, b.data, b.len, BYTES_MAX, name);
	return r ?: json_members(doc, table, ARRAY_LEN(table), ret, name);
}

static int
save(int fd, const char *name, const struct pin *pin)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED_JSON *doc = json_object();
	int r = doc ? json_put_time(doc, "record", pin->record_us) : -ENOMEM;

	if (!r && pin->at_us)
		r = json_put_time(doc, "at", pin->at_us);
	r = r ?: json_put_hex(doc, "key", pin->key, sizeof(pin->key));
	r = r ?: json_canonical(&b, doc);
	return FAULT(r ?: fs_replace(fd, name, b.data, b.len, 0600));
}

/* The record's key, or one that the chain passes. */
static int
passes(bool *ret, const struct desk_site *s, const uint8_t key[32])
{
	const json_t *item;
	char hex[65];
	size_t i;

	hex_encode(hex, key, 32);
	*ret = strcmp(json_text(s->record, "key"), hex) == 0;
	json_array_foreach(json_object_get(s->hub, "rotations"), i, item) {
		struct rotate step;
		int r = rotate_open(&step, item);

		if (r < 0)
			return FAULT(r); /* nobody knows whether this was the step */
		*ret = *ret || (r == 0 && memcmp(step.new_key, key, 32) == 0);
	}
	return 0;
}

/* When the chain's last step was made.  That is the site's word, whose clock may be years ahead: a record of after it was
 * seen here is newer in any case. */
static int
last_step(uint64_t *ret_us, const struct desk_site *s)
{
	const json_t *list = json_object_get(s->hub, "rotations");
	uint64_t now_us = clock_now_us() / CLOCK_US_PER_MS * CLOCK_US_PER_MS;
	struct rotate step;
	int r;

	*ret_us = 0;
	if (json_array_size(list) == 0)
		return 0;
	r = rotate_open(&step, json_array_get(list, json_array_size(list) - 1));
	if (r < 0)
		return FAULT(r);
	if (r == 0)
		*ret_us = step.time_us < now_us ? step.time_us : now_us;
	return 0;
}

/* May the site have gone from the key that was seen to this one?  By steps; or by a record that an engineer signed after
 * them: one of before them, though it be newer than the record that they began at, vouched for a key that is gone. */
static int
may_follow(bool *ret, const struct desk_site *s, const struct pin *seen, const struct pin *now)
{
	int r = passes(ret, s, seen->key);

	*ret = *ret || (now->record_us > seen->record_us && now->record_us >= seen->at_us);
	return r;
}

int
desk_pin_follow(struct desk_site *s)
{
	const char *site = s->site;
	const json_t *list = json_object_get(s->hub, "rotations"), *item;
	size_t i;

	if (json_array_size(list) > ROTATE_CHAIN_MAX)
		return REFUSE(REASON_TOO_LARGE, site, "the hub shows more than %d rotations", ROTATE_CHAIN_MAX);
	json_array_foreach(list, i, item) {
		struct rotate step;
		int r = rotate_open(&step, item);

		if (r)
			return r;
		if (strcmp(step.site, site) != 0 || memcmp(step.old_key, s->key, sizeof(s->key)) != 0)
			return REFUSE(REASON_WRONG_ADDRESSEE, site,
				"the hub shows a rotation of %s that does not begin at its key", step.site);
		memcpy(s->key, step.new_key, sizeof(s->key));
	}
	return 0;
}

int
desk_pin_key(struct desk *d, const struct desk_site *s)
{
	struct pin seen = { 0 }, now = { 0 };
	SCOPED(scope_close) int fd = -1;
	char name[96];
	bool follows = true; /* the first that was seen does */
	int fault, r = fs_open_dir(&fd, d->dir_fd, "keys", 0700);

	if (r < 0)
		return FAULT(r);
	(void)snprintf(name, sizeof(name), "%s.json", s->site);
	memcpy(now.key, s->key, sizeof(now.key));
	if (clock_parse(&now.record_us, json_text(s->record, "time")) != 0)
		return REFUSE(REASON_MALFORMED, s->site, "its record has no time");
	r = load(fd, name, &seen);
	if (r != 0 && r != REASON_NOT_FOUND)
		return r;
	if (r == 0 && now.record_us < seen.record_us)
		return REFUSE(REASON_ROLLBACK, s->site, "the hub shows an older record than before");
	fault = r == 0 ? may_follow(&follows, s, &seen, &now) : 0;
	if (fault < 0)
		return fault;
	if (!follows)
		return REFUSE(REASON_ROLLBACK, s->site,
			"the hub holds back a rotation that it showed before: its key may be a stolen one");
	fault = last_step(&now.at_us, s);
	if (fault < 0)
		return fault;
	/* The same key seen again does not count as made later; what was seen once is not taken back either. */
	if (r == 0 && (now.at_us < seen.at_us || memcmp(now.key, seen.key, sizeof(now.key)) == 0))
		now.at_us = seen.at_us;
	return r != 0 || memcmp(&now, &seen, sizeof(now)) ? save(fd, name, &now) : 0;
}

void
desk_pin_answering(struct desk_pin_keys *ret, const struct desk_site *s, uint64_t asked_us, const uint8_t known[32])
{
	const json_t *list = json_object_get(s->hub, "rotations");

	*ret = (struct desk_pin_keys){ .n = 1 };
	memcpy(ret->keys[0].key, s->key, sizeof(s->key));
	for (size_t i = json_array_size(list); i-- > 0 && ret->n <= ROTATE_CHAIN_MAX;) {
		struct desk_pin_key *k = &ret->keys[ret->n];
		struct rotate step;

		if (known && memcmp(ret->keys[ret->n - 1].key, known, 32) == 0)
			return;
		if (rotate_open(&step, json_array_get(list, i)) != 0 || (!known && step.time_us < asked_us))
			return;
		memcpy(k->key, step.old_key, sizeof(k->key));
		k->until_us = step.time_us;
		ret->n++;
	}
}
