/* Lines of logs as anybody may write them: what leaves is bounded, and a canary put in the middle is
 * gone; and lines that stand together leave as each alone does. */
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/egress/redact.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CANARY "glpat-" "aB3dE6gH9jK2mN5pQ8sT"

enum { IN_MAX = 16 * 1024 };

static void
must(int holds)
{
	if (!holds)
		abort();
}

/* Lines that stand together leave as each alone does. */
static void
check_lines(struct redact *r, const struct buf *in)
{
	SCOPED(buf_done) struct buf alone = BUF_MAX((REDACT_GROWTH + 2) * 2 * IN_MAX), out = BUF_MAX(alone.max);
	struct redact_state state = { 0 };
	const char *p, *next, *end = buf_text(in) + in->len;

	for (p = buf_text(in); p < end; p = next + 1) {
		next = memchr(p, '\n', (size_t)(end - p)) ?: end;
		must(redact_line(r, &state, p, (size_t)(next - p), &alone, NULL) == 0);
	}
	state = (struct redact_state){ 0 };
	redact_lines(r, in->data, in->len);
	for (p = buf_text(in); p < end; p = next + 1) {
		next = memchr(p, '\n', (size_t)(end - p)) ?: end;
		if (redact_leaves(r, &state, p, (size_t)(next - p)))
			buf_put(&out, p, (size_t)(next - p));
		else
			must(redact_line(r, &state, p, (size_t)(next - p), &out, NULL) == 0);
	}
	redact_lines(r, NULL, 0);
	must(out.len == alone.len && memcmp(buf_text(&out), buf_text(&alone), out.len) == 0);
}

static void
check(struct redact *r, const uint8_t *data, size_t size, const char *canary)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(2 * IN_MAX), out = BUF_MAX((REDACT_GROWTH + 1) * 2 * IN_MAX);
	struct redact_state state = { .inside = size > 0 ? data[0] & 3 : 0 };
	size_t half = size / 2;

	buf_put(&in, data, half);
	buf_puts(&in, canary);
	buf_put(&in, data + half, size - half);
	must(redact_text(r, in.data, in.len, &out, NULL) == 0);
	must(out.len <= REDACT_GROWTH * in.len + REDACT_GROWTH);
	if (*canary)
		must(!out.data || !memmem(out.data, out.len, CANARY, strlen(CANARY)));
	buf_reset(&out);
	must(redact_line(r, &state, in.data, in.len, &out, NULL) == 0);
	must(out.len <= REDACT_GROWTH * in.len + 2 * REDACT_GROWTH);
	check_lines(r, &in);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(pseudonym_freep) struct pseudonym *names = NULL;
	SCOPED(redact_freep) struct redact *all = NULL, *plain = NULL;

	log_open("fuzz", LOG_LEVEL_ERROR);
	if (size > IN_MAX)
		return 0;
	must(pseudonym_open(&names, folder_fd(), false) == 0);
	must(redact_new(&all, names, (1U << PSEUDONYM_KINDS) - 1) == 0);
	must(redact_new(&plain, NULL, 0) == 0);
	check(all, data, size, "");
	check(plain, data, size, " " CANARY " ");
	return 0;
}
