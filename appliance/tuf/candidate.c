/* A document that came, split and kept until the workflow trusts or drops it. */
#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/tuf/client_state.h"

void
tuf_candidate_done(struct tuf_candidate *d)
{
	tuf_split_done(&d->split);
	json_decref(d->signed_);
	buf_done(&d->bytes);
	*d = (struct tuf_candidate){ 0 };
}

/* Whole bytes: keep exactly these. */
int
tuf_candidate_read(struct tuf_candidate *d, const char *role, const void *p, size_t len)
{
	int r = tuf_split(&d->split, p, len, tuf_client_cap(role), role);

	if (r)
		return r;
	d->bytes = BUF_MAX(len);
	buf_put(&d->bytes, p, len);
	return FAULT(buf_error(&d->bytes));
}

/* A split: a copy of it, and the document that it is of. */
int
tuf_candidate_copy(struct tuf_candidate *d, const char *role, const struct tuf_split *s)
{
	SCOPED_JSON *sigs = tuf_split_sigs(s);
	int r;

	if (!sigs)
		return FAULT(-ENOMEM);
	if (s->length > tuf_client_cap(role))
		return REFUSE(REASON_TOO_LARGE, role, "%llu bytes", (unsigned long long)s->length);
	r = tuf_split_join(&d->split, s->canonical.data, s->canonical.len, sigs, role);
	if (r)
		return r;
	d->split.length = s->length;
	memcpy(d->split.sha256, s->sha256, sizeof(s->sha256));
	memcpy(d->split.sha512, s->sha512, sizeof(s->sha512));
	d->bytes = BUF_MAX(2 * TUF_TARGETS_MAX);
	return tuf_split_document(s, &d->bytes);
}
