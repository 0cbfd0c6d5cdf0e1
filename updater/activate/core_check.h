/* What a staged core release says of itself: only core.c uses it. */
#pragma once

#include <stdint.h>

struct monitor;

struct core_times {
	unsigned tries;
	uint32_t trial_ms, soak_ms;
};

/* lib/store/HEX is a core that this site can be handed to: it defines CORE_SERVICE, has its programs, and takes over
 * from SLOTS_STATE_FORMAT.  Returns 0; REASON_NOT_FOUND, REASON_ALTERED or REASON_CONFLICT (logged); or a fault. */
int core_check_release(struct monitor *m, const char *hex);

/* Its knobs tries, trial-seconds and soak-seconds, by their defaults; hex "" (the packaged core) and a release without
 * them: 3 tries of 60 s with 10 s of soak.  Returns 0; REASON_MALFORMED (logged) where they are no use; what
 * definition_read() refuses; or a fault. */
int core_check_times(struct core_times *ret, struct monitor *m, const char *hex);
