#include "remote/operate/mask.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "remote/operate/job.h"

int
mask_load(struct mask *ret, const struct operate_secret *secrets, size_t n)
{
	*ret = (struct mask){ .n = n };
	for (size_t i = 0; i < n; i++) {
		const struct operate_secret *s = &secrets[i];
		ssize_t got;

		if (s->len == 0 || s->len > sizeof(ret->values[i].bytes))
			return REFUSE(REASON_MALFORMED, s->name, "a secret has 1 to %d bytes",
				OPERATE_SECRET_MAX);
		do
			got = pread(s->fd, ret->values[i].bytes, s->len, s->from);
		while (got < 0 && errno == EINTR);
		if (got < 0)
			return FAULT(-errno);
		if ((size_t)got != s->len)
			return REFUSE(REASON_MALFORMED, s->name,
				"its descriptor does not hold all of the secret");
		ret->values[i].len = s->len;
	}
	return 0;
}

void
mask_done(struct mask *m)
{
	explicit_bzero(m, sizeof(*m));
}

/* What stands at p: the length of the longest value that does; *ret_begun tells whether one could that is longer than
 * what there is. */
static size_t
match(const struct mask *m, const uint8_t *p, size_t len, bool *ret_begun)
{
	size_t best = 0;

	*ret_begun = false;
	for (size_t i = 0; i < m->n; i++) {
		size_t have = m->values[i].len < len ? m->values[i].len : len;

		if (memcmp(p, m->values[i].bytes, have) != 0)
			continue;
		if (have < m->values[i].len)
			*ret_begun = true;
		else if (have > best)
			best = have;
	}
	return best;
}

/* How many of the bytes were used. */
static size_t
put(const struct mask *m, const uint8_t *p, size_t len, bool end, struct buf *out)
{
	size_t at = 0;

	while (at < len) {
		bool begun;
		size_t n = match(m, p + at, len - at, &begun);

		if (begun && !end)
			break;
		if (begun && n == 0 && len - at >= MASK_CUT_MIN)
			n = len - at;
		if (n > 0)
			buf_puts(out, MASK_TEXT);
		else
			buf_u8(out, p[at]);
		at += n ?: 1;
	}
	return at;
}

int
mask_feed(const struct mask *m, struct mask_rest *rest, const void *p, size_t len, bool end, struct buf *out)
{
	struct buf all = BUF_MAX(rest->len + len);
	size_t used;
	int r;

	if (m->n == 0) {
		buf_put(out, p, len);
		return FAULT(buf_error(out));
	}
	buf_put(&all, rest->bytes, rest->len);
	buf_put(&all, p, len);
	r = buf_error(&all);
	if (r == 0 && all.len > 0) {
		used = put(m, all.data, all.len, end, out);
		/* Shorter than the secret that it may begin. */
		rest->len = all.len - used;
		memcpy(rest->bytes, all.data + used, rest->len);
		r = buf_error(out);
	}
	buf_wipe(&all);
	return FAULT(r);
}
