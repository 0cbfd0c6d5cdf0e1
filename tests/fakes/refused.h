/* What a test says of a call that refuses: for which reason, saying what, and once. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "appliance/base/refuse.h"

/* The call returns reason, counts one refusal more of that reason, and its sentence holds text.  Two checks of
 * the same reason are told apart by it: the second would refuse, too, were the first one lost. */
#define assert_refused(call, why, says)                                                            \
	do {                                                                                       \
		uint64_t before_ = refuse_count(why);                                              \
		assert_int_equal((call), (int)(why));                                              \
		assert_int_equal(refuse_count(why) - before_, 1);                                  \
		if (!strstr(refuse_last()->text, (says)))                                          \
			fail_msg("refused with \"%s\", not \"%s\"", refuse_last()->text, (says));  \
	} while (0)
