/* What an operation writes is recorded, and the leaf of its end names the recording by its digest: site_room.h. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "remote/recording/recordings.h"
#include "remote/request/result.h"

enum { HOW_MAX = 96, TITLE_MAX = 2 * REQUEST_NAME_MAX + 2 };

int
request_site_record(struct request_site *s, const struct request_item *item, struct recording **ret)
{
	const struct request *q = item->request;
	char title[TITLE_MAX];

	(void)snprintf(title, sizeof(title), "%s %s", q->service, q->operation);
	return recordings_begin(s->recordings, q->id, q->digest, title, monitor_now_us(s->m), ret);
}

/* "end: failed, status 3 [malformed]" */
static const char *
how_it_ended(char out[HOW_MAX], const struct request_result *result)
{
	char status[32] = "";
	const char *reason = result->reason == REASON_NONE ? NULL : refuse_token(result->reason);

	if (result->signal > 0)
		(void)snprintf(status, sizeof(status), ", signal %d", result->signal);
	else if (result->exit_status > 0)
		(void)snprintf(status, sizeof(status), ", status %d", result->exit_status);
	(void)snprintf(out, HOW_MAX, "end: %s%s%s%s%s", request_outcome_name(result->outcome), status, reason ? " [" : "",
		reason ? reason : "", reason ? "]" : "");
	return out;
}

void
request_site_record_end(struct recording *take_recording, const struct request_result *result)
{
	const struct refusal why = *refuse_last();
	char how[HOW_MAX];
	int r = take_recording ? recording_end(take_recording, how_it_ended(how, result)) : 0;

	/* The next start closes it; what has run has run. */
	if (r < 0)
		log_fault(r, "closing a recording");
	if (r)
		(void)refuse_adopt(&why);
}

int
request_site_leaf_end(struct request_site *s, const struct request_item *item)
{
	const struct request *q = item->request;
	SCOPED_JSON *extra = json_object();
	uint8_t digest[32];
	uint64_t n;
	int r = recordings_digest(s->recordings, q->id, digest, &n);

	if (r == 0)
		r = extra ? json_put_sha256(extra, "recording", digest) ?: json_put_u64(extra, "recording_n", n)
			  : FAULT(-ENOMEM);
	if (r < 0)
		return r;
	return r == 0 ? monitor_leaf_extra(s->m, "end", q->engineer, q->id, q->digest, item->reason, extra)
		      : monitor_leaf(s->m, "end", q->engineer, q->id, q->digest, item->reason);
}

static bool
is_needed(const char *id, void *arg)
{
	const struct request_site *s = arg;
	const struct request_item *item = request_store_find(s->store, id);

	return item && !item->settled && !item->leafed;
}

void
request_site_trim_recordings(struct request_site *s)
{
	recordings_trim(s->recordings, is_needed, s);
}
