#include "appliance/egress/retry.h"

#include <string.h>
#include <time.h>

#include "appliance/base/clock.h"
#include "appliance/base/number.h"

enum retry
retry_verdict_otlp(int status)
{
	if (status / 100 == 2)
		return RETRY_DONE;
	return status == 429 || status == 502 || status == 503 || status == 504 ? RETRY_AGAIN : RETRY_DROP;
}

enum retry
retry_verdict(int status, bool any_status, unsigned conflicts)
{
	enum retry verdict = retry_verdict_otlp(status);

	if (verdict != RETRY_DROP)
		return verdict;
	if (status == 401 || status == 403)
		return RETRY_AGAIN;
	if (status == 409 && !any_status && conflicts < RETRY_CONFLICTS_MAX)
		return RETRY_AGAIN;
	return any_status ? RETRY_DONE : RETRY_DROP;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT".  The day's name is read and not believed. */
static bool
http_date(uint64_t *ret_s, const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	time_t at;

	if (!end || *end)
		return false;
	at = timegm(&tm);
	*ret_s = at > 0 ? (uint64_t)at : 0;
	return true;
}

uint64_t
retry_after_s(const char *text, uint64_t now_us)
{
	uint64_t s = 0, now_s = now_us / CLOCK_US_PER_S;

	if (!text)
		return 0;
	if (text[0] >= '0' && text[0] <= '9') {
		if (number_u64(&s, text, UINT64_MAX) != 0)
			return 0;
	} else if (http_date(&s, text)) {
		s = s > now_s ? s - now_s : 0;
	}
	return s < RETRY_AFTER_MAX_S ? s : RETRY_AFTER_MAX_S;
}
