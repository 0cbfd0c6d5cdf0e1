/* What one scrape gave: its samples as we name and keep them, and which series of an earlier one are gone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry/collect/sample.h"
#include "telemetry/scrape/exposition_seen.h"

enum { SCRAPED_TEXT_MAX = 2 * 1024 * 1024 };

/* Why a series is left out of what is otherwise good. */
enum scraped_drop {
	SCRAPED_LABELS, /* it has more than one of ours may have */
	SCRAPED_NAME,	/* its name is one of ours, which leave without anybody's word */
	SCRAPED_TIME,	/* its time is not of now */
	SCRAPED_TWICE,	/* it is there already */
	SCRAPED_DROPS,
};

struct scraped {
	struct sample_set set;
	struct exposition_seen seen; /* its series */
	uint64_t at_us;		     /* when it was asked for; 0: it was not */
	size_t dropped[SCRAPED_DROPS]; /* of this scrape */
};

void scraped_begin(struct scraped *s, uint64_t at_us); /* empty */
void scraped_done(struct scraped *s);

/* Take a sample: names without bytes that ours may not have, units of OpenMetrics as UCUM has them, its time where it is
 * of the last hour.  What is left out is counted.  Returns false where there is no room. */
bool scraped_put(struct scraped *s, const char *service, const struct otlp_sample *sample,
	bool timed);
/* up, scrape_duration_seconds, scrape_samples_scraped. */
void scraped_own(struct scraped *s, const char *service, bool up, double took_s, size_t samples);
/* mainstay_scrape_dropped_series{target,reason}, ours and no service's: what was left out since since_us; only where
 * something was. */
void scraped_tell_dropped(struct scraped *s, const char *target, const uint64_t dropped[SCRAPED_DROPS],
	uint64_t since_us);
/* Say of each series of before that is none of s that it has no value any more.  Those that came with a time of their
 * own are not: they say themselves until when they hold. */
void scraped_gone(struct scraped *s, const char *service, const struct scraped *before);
