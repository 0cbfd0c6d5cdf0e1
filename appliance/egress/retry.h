/* What an answer of the hub means for the record that it answers: OTLP/HTTP's rules (protocols.md 3.1).
 *
 *	2xx                                  done
 *	401 403                              again: the site may not have been accepted yet
 *	429 502 503 504                      again, after Retry-After where it says so
 *	409                                  again at once with a new nonce, RETRY_CONFLICTS_MAX times
 *	every other                          the end of that record
 *
 * A stream whose answers are somebody's business (any_status) ends with every answer that is not tried again;
 * of one that is kept (shipper.h) no record ends unless the hub has it. */
#pragma once

#include <stdbool.h>

enum retry { RETRY_DONE, RETRY_AGAIN, RETRY_DROP };

enum { RETRY_CONFLICTS_MAX = 3 };

/* conflicts: answers 409 that this record had before. */
enum retry retry_verdict(int status, bool any_status, unsigned conflicts);
