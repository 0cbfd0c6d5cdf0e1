#include <errno.h>
#include <string.h>

#include "appliance/audit/quorum.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/judge.h"
#include "appliance/policy/policy_compile.h"
#include "appliance/service/cluster.h"
#include "appliance/service/definition.h"
#include "appliance/service/target.h"
#include "appliance/tree/index.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/metadata.h"

SCOPED_DESTRUCTOR(struct cluster, cluster_free)

static const char *const kinds[JUDGE_KIND_MAX] = {
	[JUDGE_TUF] = "tuf",
	[JUDGE_CARD] = "card",
	[JUDGE_POLICY] = "policy",
	[JUDGE_CLUSTER] = "cluster",
	[JUDGE_DEFINITION] = "definition",
	[JUDGE_INDEX] = "index",
	[JUDGE_RECORD] = "record",
	[JUDGE_QUORUM] = "quorum",
	[JUDGE_TARGETS] = "targets",
};

const char *
judge_kind_text(enum judge_kind kind)
{
	return kinds[kind];
}

bool
judge_kind_parse(enum judge_kind *ret, const char *text)
{
	for (unsigned i = 0; i < JUDGE_KIND_MAX; i++) {
		if (strcmp(kinds[i], text) != 0)
			continue;
		*ret = (enum judge_kind)i;
		return true;
	}
	return false;
}

/* {"signed": base64, "sigs": [...]}; consumes take_sigs. */
static int
put_signed(struct buf *out, const void *bytes, size_t len, json_t *take_sigs)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(JUDGE_OUTPUT_MAX);
	SCOPED_JSON *sigs = take_sigs;
	SCOPED_JSON *doc = NULL;
	int r;

	hex_base64(&text, bytes, len);
	r = buf_error(&text);
	if (r == 0 && !(doc = json_pack("{s:s, s:O}", "signed", buf_text(&text), "sigs", sigs)))
		r = -ENOMEM;
	return FAULT(r ?: json_canonical(out, doc));
}

static int
job_tuf(const char *name, const void *p, size_t len, struct buf *out)
{
	struct tuf_split split;
	int r = tuf_split(&split, p, len, TUF_TARGETS_MAX, name);

	if (r)
		return r;
	r = put_signed(out, split.canonical.data, split.canonical.len, tuf_split_sigs(&split));
	tuf_split_done(&split);
	return r;
}

static int
job_record(const char *name, const void *p, size_t len, struct buf *out)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	json_t *sigs;
	int r = envelope_open(&e, MESSAGE_SITE, p, len);

	(void)name; /* the message's own word stands in refusals */
	if (r)
		return r;
	sigs = json_copy_whole(json_object_get(e->text, "sigs"), JSON_DEEP);
	return sigs ? put_signed(out, e->bytes, e->len, sigs) : FAULT(-ENOMEM);
}

static int
job_policy(const char *name, const void *p, size_t len, struct buf *out)
{
	SCOPED_JSON *doc = NULL;
	int r = policy_compile(&doc, p, len, name);

	return r ?: json_canonical(out, doc);
}

static int
job_cluster(const char *name, const void *p, size_t len, struct buf *out)
{
	SCOPED(cluster_freep) struct cluster *c = NULL;
	SCOPED_JSON *doc = NULL;
	int r = cluster_read(&c, p, len, name);

	if (r)
		return r;
	doc = cluster_json_placed(c);
	return doc ? json_canonical(out, doc) : FAULT(-ENOMEM);
}

static int
job_definition(const char *name, const void *p, size_t len, struct buf *out)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	int r = definition_read(&d, p, len);

	(void)name;
	return r ?: definition_write(d, out);
}

static int
job_index(const char *name, const void *p, size_t len, struct buf *out)
{
	SCOPED(tree_index_freep) struct tree_index *index = NULL;
	int r = tree_index_read(&index, p, len);

	(void)name;
	return r ?: tree_index_write(index, out);
}

static int
job_quorum(const char *name, const void *p, size_t len, struct buf *out)
{
	SCOPED(quorum_freep) struct quorum *q = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(JUDGE_OUTPUT_MAX);
	SCOPED_JSON *doc = NULL;
	int r = quorum_parse(&q, p, len, name);

	if (r)
		return r;
	quorum_text(&text, q);
	r = buf_error(&text);
	errno = 0; /* where there is no memory malloc() sets it; text that is no UTF-8 leaves it */
	if (r == 0 && !(doc = json_pack("{s:s}", "policy", buf_text(&text))))
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_MALFORMED, name, "names in it are not UTF-8");
	return FAULT(r ?: json_canonical(out, doc));
}

static int
job_targets(const char *name, const void *p, size_t len, struct buf *out)
{
	SCOPED_JSON *doc = NULL;
	int r = target_json(&doc, p, len, name);

	return r ?: json_canonical(out, doc);
}

int
judge_job(enum judge_kind kind, const char *name, const void *p, size_t len, struct buf *out)
{
	static int (*const jobs[JUDGE_KIND_MAX])(const char *, const void *, size_t,
		struct buf *) = {
		[JUDGE_TUF] = job_tuf,
		[JUDGE_CARD] = job_tuf, /* a card is signed in TUF's form */
		[JUDGE_POLICY] = job_policy,
		[JUDGE_CLUSTER] = job_cluster,
		[JUDGE_DEFINITION] = job_definition,
		[JUDGE_INDEX] = job_index,
		[JUDGE_RECORD] = job_record,
		[JUDGE_QUORUM] = job_quorum,
		[JUDGE_TARGETS] = job_targets,
	};
	int r;

	if (len > JUDGE_INPUT_MAX)
		return REFUSE(REASON_TOO_LARGE, name, "%zu bytes, of at most %d", len,
			(int)JUDGE_INPUT_MAX);
	r = jobs[kind](name, p, len, out);
	return r < 0 ? FAULT(r) : r;
}

int
judge_signed(const json_t *answer, struct buf *out_signed, const json_t **ret_sigs)
{
	const char *text = json_string_value(json_object_get(answer, "signed"));
	const json_t *sigs = json_object_get(answer, "sigs");

	if (!text || !json_is_array(sigs) || json_array_size(sigs) > JUDGE_SIGS_MAX ||
		!hex_unbase64(out_signed, text, strlen(text)))
		return buf_error(out_signed) == -ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_MALFORMED, "judge", "its answer is not of the agreed form");
	*ret_sigs = sigs;
	return 0;
}
