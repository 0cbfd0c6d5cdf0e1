/* What a service that was broken into answers to its health check: the first byte chooses the protocol, and
 * more of an answer never makes what was decided another. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"
#include "appliance/supervise/probe_talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum spec_health kinds[] = { SPEC_HEALTH_RESP, SPEC_HEALTH_HTTP,
		SPEC_HEALTH_POSTGRES, SPEC_HEALTH_TCP };
	static const char *const expects[] = { "", "204", "ok" };
	SCOPED(buf_done) struct buf asked = BUF_MAX(1024);
	enum probe_talk says = PROBE_TALK_MORE;
	struct spec s;

	if (size == 0)
		return 0;
	spec_init(&s);
	s.health = kinds[data[0] % ARRAY_LEN(kinds)];
	(void)snprintf(s.expect, sizeof(s.expect), "%s",
		expects[data[0] / 16 % ARRAY_LEN(expects)]);
	(void)snprintf(s.path, sizeof(s.path), "/");
	if (probe_talk_ask(&asked, &s))
		abort();
	for (size_t len = 0; len < size; len++) {
		enum probe_talk now = probe_talk_judge(&s, data + 1, len, false);

		if (says != PROBE_TALK_MORE && now != says)
			abort();
		says = now;
	}
	if (probe_talk_judge(&s, data + 1, size - 1, true) == PROBE_TALK_MORE)
		abort();
	return 0;
}
