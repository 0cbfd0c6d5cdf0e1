#include "remote/desk/desk_metadata.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/card.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_session.h"

static int
fetch(struct desk *d, const char *file, size_t cap, struct buf *out)
{
	char path[TUF_PATH_MAX + 256];

	(void)snprintf(path, sizeof(path), "/tuf/%s", file);
	return desk_client_fetch(d, path, cap, out);
}

/* What verified was read as JSON: so it is UTF-8. */
static int
put(json_t *files, const char *file, const struct buf *b)
{
	return json_object_set_new(files, file, json_stringn((const char *)b->data, b->len)) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
feed(struct desk *d, struct tuf_client *c, json_t *files)
{
	struct tuf_want w;
	int r = 0;

	while (r == 0 && tuf_client_want(c, &w)) {
		SCOPED(buf_done) struct buf b = BUF_MAX(w.cap);

		r = fetch(d, w.file, w.cap, &b);
		if (r == REASON_NOT_FOUND) {
			r = tuf_client_absent(c);
			continue;
		}
		r = r ?: tuf_client_update(c, w.role, b.data, b.len);
		r = r ?: put(files, w.file, &b);
	}
	return r;
}

/* The first end among the roles. */
static uint64_t
first_end(const struct tuf_client *c)
{
	uint64_t first = UINT64_MAX, end;
	const char *role;

	for (size_t i = 0; (role = tuf_client_role(c, i)); i++)
		if (clock_parse(&end, json_text(tuf_client_signed(c, role), "expires")) == 0 && end < first)
			first = end;
	return first;
}

int
desk_metadata_collect(struct desk *d, json_t **ret, uint64_t *ret_until_us)
{
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX), people = BUF_MAX(PEOPLE_BYTES_MAX);
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	SCOPED_JSON *files = json_object();
	char file[TUF_PATH_MAX + 200];
	struct tuf_target t;
	int r = files ? json_canonical(&root, d->card->root) : -ENOMEM;

	r = r ?: tuf_client_new(&c, root.data, root.len, clock_now_us());
	r = r ?: feed(d, c, files);
	while (r == 0 && (r = tuf_client_target(c, PEOPLE_TARGET, &t)) == TUF_WANTS)
		r = feed(d, c, files);
	if (r)
		return FAULT(r);
	(void)snprintf(file, sizeof(file), "targets/%s", t.file);
	r = fetch(d, file, t.length < people.max ? (size_t)t.length : people.max, &people);
	if (r == REASON_NOT_FOUND)
		return REFUSE(r, PEOPLE_TARGET, "the hub's repository does not have it");
	r = r ?: tuf_target_check(&t, people.data, people.len);
	r = r ?: put(files, file, &people);
	if (r)
		return FAULT(r);
	*ret_until_us = first_end(c);
	*ret = STEAL(files);
	return 0;
}
