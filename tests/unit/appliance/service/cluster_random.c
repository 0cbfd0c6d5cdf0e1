/* Random edits of random cluster.yaml: SEED=N repeats a run.  What an edit does not mean stays byte for byte as its
 * writer left it, and what comes out says exactly what was asked for; or the edit is refused and gives nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/cluster.h"

enum { ROUNDS = 4000, LINES_MAX = 256 };

static uint64_t seed;

static unsigned
pick(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed % n);
}

static const char *const services[] = { "redis", "web", "db-2", "etcd" };
static const char *const knobs[] = { "port", "max_memory", "a", "log-level" };
static const char *const values[] = { "7", "64mb", "\"a b\"", "'it''s'", "true", "\"#no\"", "-3", "x:y" };
static const char *const given[] = { "9", "1gb", "a b", "it's", "no", "# x", "{}", "a: b", "\"", "\\", "- x",
	"null", "~", "*a", "&b", "!c", "%d", "@e", "x #y", "[", "0x10", "\xc3\xa9" };

static void
put_noise(struct buf *b, const char *eol)
{
	static const char *const noise[] = { "", "# of ours", "   # deeper", "      ", "#" };

	if (pick(3) == 0)
		buf_printf(b, "%s%s", noise[pick(5)], eol);
}

static void
put_end(struct buf *b, const char *eol)
{
	buf_printf(b, "%s%s", pick(4) ? "" : "  # why: because", eol);
}

static void
put_service(struct buf *b, unsigned indent, const char *name, const char *eol)
{
	static const char *const quote[] = { "", "\"", "'" };
	const char *q = quote[pick(3)];
	unsigned step = 1 + pick(4);

	if (pick(8) == 0) {
		buf_printf(b, "%*s%s%s%s: {hold: true, knobs: {port: 7,%s%*sa: x}}%s", (int)indent, "", q, name, q,
			pick(2) ? eol : " ", (int)indent + 2, "", eol);
		return;
	}
	if (pick(6) == 0) {
		buf_printf(b, "%*s%s%s%s:%s", (int)indent, "", q, name, q, pick(2) ? "" : " {}");
		put_end(b, eol);
		return;
	}
	buf_printf(b, "%*s%s%s%s:", (int)indent, "", q, name, q);
	put_end(b, eol);
	put_noise(b, eol);
	indent += step;
	buf_printf(b, "%*schannel:  %s", (int)indent, "", pick(2) ? "stable" : "'beta'");
	put_end(b, eol);
	if (pick(2)) {
		buf_printf(b, "%*shold: %s", (int)indent, "", pick(2) ? "true" : "false");
		put_end(b, eol);
	}
	if (pick(3) == 0)
		buf_printf(b, "%*supdate: %s%s", (int)indent, "", pick(2) ? "ask" : "auto", eol);
	if (pick(3) == 0)
		buf_printf(b, "%*saccepted: [info, %s ping]%s", (int)indent, "", pick(2) ? "" : eol, eol);
	put_noise(b, eol);
	if (pick(3)) {
		unsigned n = pick(5);

		buf_printf(b, "%*sknobs:%s", (int)indent, "", n ? "" : " {}");
		put_end(b, eol);
		for (unsigned i = 0; i < n && i < 4; i++) {
			put_noise(b, eol);
			buf_printf(b, "%*s%s%s%s: %s", (int)(indent + step), "", i == 1 ? "\"" : "", knobs[i],
				i == 1 ? "\"" : "", values[pick(8)]);
			put_end(b, eol);
		}
	}
}

static void
make(struct buf *b)
{
	const char *eol = pick(5) ? "\n" : "\r\n";
	unsigned n = pick(5), indent = 1 + pick(4);

	put_noise(b, eol);
	if (pick(6) == 0)
		buf_printf(b, "---%s", eol);
	if (pick(12) == 0)
		return;
	buf_printf(b, "services:%s", n ? "" : " {}");
	put_end(b, eol);
	for (unsigned i = 0; i < n && i < 4; i++) {
		put_noise(b, eol);
		put_service(b, indent, services[i], eol);
	}
	put_noise(b, eol);
	if (pick(4) == 0 && b->len > 2 && n) {
		/* No newline at the end. */
		while (b->len && strchr("\r\n", b->data[b->len - 1]))
			b->data[--b->len] = '\0';
	}
}

static json_t *
said(const struct buf *b)
{
	struct cluster *c = NULL;
	json_t *v;

	if (cluster_read(&c, buf_text(b), b->len, "cluster.yaml") != 0)
		return NULL;
	v = cluster_json(c);
	cluster_free(c);
	return v;
}

struct lines {
	struct {
		const char *p;
		size_t len;
	} at[LINES_MAX];
	size_t n;
};

static void
split(struct lines *l, const struct buf *b)
{
	const char *p = buf_text(b);

	l->n = 0;
	while (*p) {
		size_t len = strcspn(p, "\r\n");

		assert_true(l->n < LINES_MAX);
		l->at[l->n].p = p;
		l->at[l->n++].len = len;
		p += len;
		p += *p == '\r';
		p += *p == '\n';
	}
}

static bool
same(const struct lines *a, size_t i, const struct lines *b, size_t j)
{
	return a->at[i].len == b->at[j].len && !memcmp(a->at[i].p, b->at[j].p, a->at[i].len);
}

/* Lines that differ, after those that both begin and both end with. */
static void
differ(const struct buf *old, const struct buf *new, size_t *ret_gone, size_t *ret_come)
{
	static struct lines a, b;
	size_t begin = 0, end = 0;

	split(&a, old);
	split(&b, new);
	while (begin < a.n && begin < b.n && same(&a, begin, &b, begin))
		begin++;
	while (end < a.n - begin && end < b.n - begin && same(&a, a.n - 1 - end, &b, b.n - 1 - end))
		end++;
	*ret_gone = a.n - begin - end;
	*ret_come = b.n - begin - end;
}

enum edit { EDIT_INSTALL, EDIT_SET, EDIT_UNSET, EDIT_MEMBER, EDIT_MAX };

static int
do_edit(enum edit edit, const struct buf *old, struct buf *new, json_t *want)
{
	const char *service = services[pick(4)], *knob = knobs[pick(4)], *value = given[pick(22)];
	json_t *all = json_object_get(want, "services"), *s = json_object_get(all, service);
	static const char *const members[] = { "hold", "stopped", "update" };
	unsigned member = pick(3), on = pick(2);

	switch (edit) {
	case EDIT_INSTALL:
		json_object_set_new(all, service,
			json_pack("{ss sb sb sb s{} s[]}", "channel", "beta", "hold", 0, "automatic", 0,
				"stopped", 0, "knobs", "accepted"));
		return cluster_install(new, buf_text(old), old->len, service, "beta");
	case EDIT_SET:
		json_object_set_new(json_object_get(s, "knobs"), knob, json_string(value));
		return cluster_set(new, buf_text(old), old->len, service, knob, value);
	case EDIT_UNSET:
		(void)json_object_del(json_object_get(s, "knobs"), knob);
		return cluster_set(new, buf_text(old), old->len, service, knob, NULL);
	default:
		(void)json_object_set_new(s, member == 2 ? "automatic" : members[member], json_boolean(on));
		return cluster_member(new, buf_text(old), old->len, service, members[member],
			!on		  ? NULL
				: member == 2 ? "auto"
					      : "true");
	}
}

static void
edits_do_what_they_mean_and_nothing_else(void **state)
{
	static const size_t gone[] = { 1, 1, 2, 1 }, come[] = { 3, 3, 0, 2 };
	unsigned done = 0, refused = 0;

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		SCOPED(buf_done) struct buf old = BUF_MAX(65536), new = BUF_MAX(65536);
		SCOPED_JSON *want = NULL, *is = NULL;
		enum edit edit = (enum edit)pick(EDIT_MAX);
		size_t out, in;
		int r;

		make(&old);
		want = said(&old);
		if (!want)
			fail_msg("what was made is no cluster: %s\n%s", refuse_last()->text, buf_text(&old));
		r = do_edit(edit, &old, &new, want);
		if (r) {
			refused++;
			if (r < 0 || (r == REASON_MALFORMED && !strstr(refuse_last()->text, "by hand")))
				fail_msg("%d %s\n%s", r, refuse_last()->text, buf_text(&old));
			if (r == REASON_MALFORMED && strncmp(refuse_last()->place, "cluster.yaml", 12) != 0)
				fail_msg("no place\n%s", buf_text(&old));
			continue;
		}
		done++;
		is = said(&new);
		if (!is || !json_equal(is, want))
			fail_msg("edit %d of\n%s\ngave\n%s", edit, buf_text(&old), buf_text(&new));
		differ(&old, &new, &out, &in);
		/* (unsetting the only knob takes "knobs:" and what stands before it with it) */
		if ((edit != EDIT_UNSET && out > gone[edit]) || in > come[edit])
			fail_msg("edit %d changed %zu lines to %zu of\n%s\ngave\n%s", edit, out, in,
				buf_text(&old), buf_text(&new));
	}
	print_message("%u done, %u refused\n", done, refused);
	assert_true(done > ROUNDS / 3);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_do_what_they_mean_and_nothing_else),
	};

	seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 1;
	print_message("SEED=%llu\n", (unsigned long long)seed);
	seed = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
