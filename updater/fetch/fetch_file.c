#include <errno.h>
#include <stdio.h>

#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/carrier.h"
#include "updater/fetch/fetch_name.h"
#include "updater/fetch/fetch_room.h"
#include "updater/fetch/fetch_wire.h"

enum {
	NAME_MAX_BYTES = INCOMING_NAME_MAX,
	SLOW_BYTES = 64, /* a second, for SLOW_S: who sends less is not sending */
	SLOW_S = 60,
	GET_TIMEOUT_MS = 120 * 1000,
	LARGE_TIMEOUT_MS = 30 * 60 * 1000,
};

static int
on_piece(const void *p, size_t len, void *arg)
{
	struct fetch *f = arg;

	return f->in.members ? incoming_split(&f->in, p, len) : incoming_put(&f->in, p, len);
}

/* What an item of the round is called: NAME of a file of metadata, of [NAME, CAP], or "packs/HEX" of a range. */
static const char *
item_name(const json_t *item, char pack[NAME_MAX_BYTES])
{
	if (json_is_string(item))
		return json_string_value(item);
	if (json_is_array(item))
		return json_string_value(json_array_get(item, 0));
	return fetch_name_pack(pack, NAME_MAX_BYTES, json_string_value(json_object_get(item, "pack"))) ? pack : NULL;
}

static json_t *
wanted(const struct fetch *f)
{
	return json_array_get(f->need, f->next);
}

/* It came: 206 is what is left of a file, or a range, whose members have their names already. */
static int
keep(struct fetch *f)
{
	bool range = f->in.members != NULL;

	f->in.members = NULL;
	return range ? 0 : incoming_keep(&f->in);
}

static void
on_got(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct fetch *f = arg;
	char pack[NAME_MAX_BYTES];
	bool forget = r == REASON_TOO_LARGE;

	if (r == 0 && reply->status == 404) {
		r = json_array_append_new(f->absent, json_string(item_name(wanted(f), pack) ?: "")) < 0 ? -ENOMEM : 0;
		forget = true;
	} else if (r == 0 && (reply->status == 200 || reply->status == 206)) {
		r = keep(f);
	} else if (r == 0) {
		forget = reply->status == 416; /* there is less than came before: begin anew */
		r = REASON_UNREACHABLE;
	}
	incoming_drop(&f->in, forget);
	if (r == -ENOSPC || r == -EDQUOT)
		f->trouble = refuse_token(REASON_NO_SPACE);
	if (r != 0) {
		if (r < 0)
			log_fault(r, f->in.name);
		fetch_finish(f, REASON_UNREACHABLE, why && why[0] ? why : "no usable answer");
		return;
	}
	f->next++;
	fetch_file_next(f);
}

/* One file, behind what came of it before where it is an object's: those never change under their names. */
static int
start_file(struct fetch *f, const json_t *item, char path[NAME_MAX_BYTES + 32], struct hub_request *req)
{
	const json_t *cap = json_array_get(item, 1);
	char name[NAME_MAX_BYTES];
	int r;

	req->max_reply = FETCH_WIRE_METADATA_MAX;
	if (json_is_array(item))
		req->max_reply = json_is_integer(cap) && json_integer_value(cap) > 0 &&
				json_integer_value(cap) < FETCH_WIRE_OBJECT_MAX
			? (size_t)json_integer_value(cap)
			: FETCH_WIRE_OBJECT_MAX;
	if (!fetch_name_path(name, sizeof(name), item_name(item, NULL), json_is_array(item)))
		return -EBADMSG;
	r = incoming_begin(&f->in, name, json_is_array(item), req->max_reply, &req->range_at);
	req->max_reply -= req->range_at;
	(void)snprintf(path, NAME_MAX_BYTES + 32, "/%s", name);
	return r;
}

static int
start_range(struct fetch *f, const json_t *item, char path[NAME_MAX_BYTES + 32], struct hub_request *req)
{
	const json_t *at = json_object_get(item, "at");
	char pack[NAME_MAX_BYTES];
	const char *name = item_name(item, pack);
	int r;

	if (!name || !json_is_integer(at) || json_integer_value(at) < 0)
		return -EBADMSG;
	req->range_at = (uint64_t)json_integer_value(at);
	r = incoming_range(&f->in, json_object_get(item, "members"), &req->range_len);
	req->max_reply = req->range_len;
	(void)snprintf(path, NAME_MAX_BYTES + 32, "/%s", name);
	return r;
}

static int
start_get(struct fetch *f, const json_t *item)
{
	char path[NAME_MAX_BYTES + 32];
	struct hub_request req = {
		.method = "GET",
		.path = path,
		.unsigned_reply = true,
		.timeout_ms = json_is_string(item) ? GET_TIMEOUT_MS : LARGE_TIMEOUT_MS,
		.min_rate = SLOW_BYTES,
		.min_rate_s = SLOW_S,
		.gzip = json_is_string(item), /* metadata and indexes are text; all else is compressed already */
		.sink = on_piece,
		.sink_arg = f,
	};
	int r = json_is_object(item) ? start_range(f, item, path, &req) : start_file(f, item, path, &req);

	return r ? r : hub_client_send(&f->call, carrier_hub(f->carrier), &req, on_got, f);
}

void
fetch_file_next(struct fetch *f)
{
	int r;

	if (f->next == json_array_size(f->need)) {
		fetch_ask(f);
		return;
	}
	r = start_get(f, wanted(f));
	if (r < 0) {
		log_fault(r, "fetch");
		if (r == -ENOSPC || r == -EDQUOT)
			f->trouble = refuse_token(REASON_NO_SPACE);
		fetch_finish(f, REASON_UNREACHABLE, "cannot fetch");
	}
}
