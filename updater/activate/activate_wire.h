/* The job of mainstay-activate (data only): one step of a change, on the inherited SEQPACKET descriptor 3.
 *
 *	monitor                                              worker
 *	  STAGE   descriptors: store folder, incoming objects folder, incoming patches folder,
 *	          index bytes (sealed memory file)                                                      ->
 *	  REMOVE  descriptor: store folder; HEX                                                         ->
 *	                                                  <- DONE     FILES, BYTES
 *	                                                     REFUSED  REASON, OPERAND, TEXT
 *	                                                     FAULT    TEXT
 *
 * The worker names no path and gets none: what it may touch are the folders it was handed. */
#pragma once

enum activate_type {
	ACTIVATE_TYPE_STAGE = 1,
	ACTIVATE_TYPE_REMOVE = 2,
	ACTIVATE_TYPE_DONE = 3,
	ACTIVATE_TYPE_REFUSED = 4,
	ACTIVATE_TYPE_FAULT = 5,
};

enum activate_tag {
	ACTIVATE_TAG_HEX = 1,     /* text, 64 digits */
	ACTIVATE_TAG_FILES = 2,   /* u64 */
	ACTIVATE_TAG_BYTES = 3,   /* u64 */
	ACTIVATE_TAG_REASON = 4,  /* text */
	ACTIVATE_TAG_OPERAND = 5, /* text, up to 127 bytes */
	ACTIVATE_TAG_TEXT = 6,    /* text, up to 511 bytes */
};

enum { ACTIVATE_TIME_MAX_S = 600 };
