/* What a PostgreSQL that was broken into says: a whole connection, message after message, a query whenever it is ready. */
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/postgres_fields.h"
#include "telemetry/collect/postgres_talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look_at(const struct postgres_talk *t)
{
	bool is_int;
	int64_t whole;
	double real;

	for (size_t i = 0; i < t->n_columns; i++)
		(void)postgres_fields_number(t->column[i].p, t->column[i].len, &is_int, &whole, &real);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t nonce[POSTGRES_TALK_NONCE];
	SCOPED(buf_done) struct buf out = BUF_MAX(64 * 1024);
	struct postgres_talk t = { 0 };
	size_t used = 0;
	int r;

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	if (postgres_talk_begin(&t, &out, "u", "d", 1000, nonce) != 0)
		return 0;
	do {
		r = postgres_talk_take(&t, data, size, "secret", 6, &used, &out);
		if (r == POSTGRES_TALK_ROW)
			look_at(&t);
		if (r == POSTGRES_TALK_READY && postgres_talk_query(&t, &out, "SELECT 1") != 0)
			break;
		if (r >= POSTGRES_TALK_GO_ON && r <= POSTGRES_TALK_ROW) {
			data += used;
			size -= used;
		}
		if (r == POSTGRES_TALK_GO_ON)
			buf_reset(&out);
	} while (r >= POSTGRES_TALK_GO_ON && r <= POSTGRES_TALK_ROW);
	postgres_talk_forget(&t);
	return 0;
}
