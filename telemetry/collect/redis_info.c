#include "telemetry/collect/redis_info.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum { HEAD_MAX = 16, NUMBER_MAX = 32 };

int
redis_info_frame(const uint8_t *p, size_t len, const uint8_t **ret_text, size_t *ret_text_len,
	size_t *ret_used)
{
	const uint8_t *nl;
	char digits[HEAD_MAX + 1];
	uint64_t size;
	size_t head;

	if (len == 0)
		return REDIS_INFO_MORE;
	if (p[0] == '-')
		return REDIS_INFO_ERROR;
	if (p[0] != '$')
		return REFUSE(REASON_MALFORMED, "redis", "INFO answered by 0x%02x", p[0]);
	nl = memchr(p, '\n', len < HEAD_MAX ? len : HEAD_MAX);
	if (!nl)
		return len < HEAD_MAX ? REDIS_INFO_MORE :
			REFUSE(REASON_MALFORMED, "redis", "INFO answered without a length");
	head = (size_t)(nl - p) + 1;
	if (head < 4 || nl[-1] != '\r')
		return REFUSE(REASON_MALFORMED, "redis", "INFO answered without a length");
	memcpy(digits, p + 1, head - 3);
	digits[head - 3] = '\0';
	if (strlen(digits) != head - 3 || number_u64(&size, digits, UINT32_MAX) != 0)
		return REFUSE(REASON_MALFORMED, "redis", "INFO answered with a length that is none");
	if (size > REDIS_INFO_MAX - head - 2)
		return REFUSE(REASON_TOO_LARGE, "redis", "INFO answered with more than %d bytes",
			REDIS_INFO_MAX);
	if (len < head + size + 2)
		return REDIS_INFO_MORE;
	if (memcmp(p + head + size, "\r\n", 2) != 0)
		return REFUSE(REASON_MALFORMED, "redis", "INFO's length is not its text's");
	*ret_text = p + head;
	*ret_text_len = (size_t)size;
	*ret_used = head + (size_t)size + 2;
	return 0;
}

/* "-12", "3.50": no exponent, no blanks, no "nan". */
static bool
read_number(const uint8_t *p, size_t len, struct redis_info_number *ret)
{
	char text[NUMBER_MAX + 1];
	size_t digits;
	bool fraction;

	if (len == 0 || len > NUMBER_MAX)
		return false;
	memcpy(text, p, len);
	text[len] = '\0';
	digits = text[0] == '-' ? 1 : 0;
	digits += strspn(text + digits, "0123456789");
	fraction = text[digits] == '.';
	if (fraction) {
		size_t more = strspn(text + digits + 1, "0123456789");

		if (more == 0 || digits == (text[0] == '-' ? 1U : 0U))
			return false;
		digits += 1 + more;
	}
	if (digits != len)
		return false;
	ret->is_int = !fraction;
	if (fraction) {
		ret->real = strtod(text, NULL); /* checked above: it takes all of the text */
		return true;
	}
	if (number_i64(&ret->whole, text, INT64_MIN, INT64_MAX) != 0)
		return false;
	ret->real = (double)ret->whole;
	return true;
}

/* "rdb_last_bgsave_status:ok": alerts compare numbers, and these are what they are for. */
static bool
read_status(const char *field, const uint8_t *p, size_t len, struct redis_info_number *ret)
{
	static const char end[] = "_status";
	size_t n = strlen(field);
	bool ok = len == 2 && memcmp(p, "ok", 2) == 0;

	if (n < sizeof(end) || strcmp(field + n - (sizeof(end) - 1), end) != 0 ||
		(!ok && (len != 3 || memcmp(p, "err", 3) != 0)))
		return false;
	*ret = (struct redis_info_number){ .is_int = true, .whole = ok, .real = ok };
	return true;
}

static bool
read_field(const uint8_t *p, size_t len, char out[REDIS_INFO_FIELD_MAX + 1])
{
	size_t i;

	if (len == 0 || len > REDIS_INFO_FIELD_MAX)
		return false;
	for (i = 0; i < len; i++) {
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '_'))
			return false;
		out[i] = (char)p[i];
	}
	out[len] = '\0';
	return true;
}

void
redis_info_each(const uint8_t *text, size_t len,
	void (*each)(const char *field, const struct redis_info_number *n, void *arg), void *arg)
{
	const uint8_t *end = text + len;

	while (text < end) {
		const uint8_t *nl = memchr(text, '\n', (size_t)(end - text));
		const uint8_t *stop = nl ? nl : end, *colon;
		char field[REDIS_INFO_FIELD_MAX + 1];
		struct redis_info_number n = { 0 };

		if (stop > text && stop[-1] == '\r')
			stop--;
		colon = memchr(text, ':', (size_t)(stop - text));
		if (colon && read_field(text, (size_t)(colon - text), field) &&
			(read_number(colon + 1, (size_t)(stop - colon - 1), &n) ||
				read_status(field, colon + 1, (size_t)(stop - colon - 1), &n)))
			each(field, &n, arg);
		text = nl ? nl + 1 : end;
	}
}

bool
redis_info_is_counter(const char *field)
{
	static const char *const counters[] = { "expired_keys", "evicted_keys", "evicted_clients",
		"keyspace_hits", "keyspace_misses", "rejected_connections", "sync_full",
		"sync_partial_ok", "sync_partial_err", "total_commands_processed",
		"total_connections_received", "total_error_replies", "total_net_input_bytes",
		"total_net_output_bytes", "total_reads_processed", "total_writes_processed",
		"total_forks", "used_cpu_sys", "used_cpu_user", "used_cpu_sys_children",
		"used_cpu_user_children", "uptime_in_seconds" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(counters); i++)
		if (strcmp(counters[i], field) == 0)
			return true;
	return false;
}
