/* The job of mainstay-notify (data only): CALL, TEXT = the program's path, the limit; descriptors: program, input.
 * There is no answer: the socket closes when all that was started is over. */
#pragma once

enum {
	NOTIFY_WIRE_LIMIT = 32, /* u64: seconds */
};
