/* What an answer means for the record that it answers: OTLP/HTTP's rules (protocols.md 3.1).
 *
 *	2xx                                  done
 *	429 502 503 504                      again, after Retry-After where it says so
 *	every other                          the end of that record: dropped and counted
 *
 * Our hub's answers are signed, so they are its own, and two of them say more than OTLP knows:
 *
 *	401 403                              again: the site may not have been accepted yet
 *	409                                  again at once with a new nonce, RETRY_CONFLICTS_MAX times
 *
 * A stream whose answers are somebody's business (any_status) ends with every answer that is not tried again;
 * of one that is kept (shipper.h) no record ends unless the hub has it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum retry { RETRY_DONE, RETRY_AGAIN, RETRY_DROP };

enum { RETRY_CONFLICTS_MAX = 3, RETRY_AFTER_MAX_S = 3600 };

/* conflicts: answers 409 that this record had before. */
enum retry retry_verdict(int status, bool any_status, unsigned conflicts);
/* The same of a receiver that is not our hub. */
enum retry retry_verdict_otlp(int status);

/* Seconds that a Retry-After (RFC 9110, 10.2.3: seconds, or an HTTP-date in the form IMF-fixdate) asks to wait, from 1 up to
 * RETRY_AFTER_MAX_S; 0 where text is NULL, is neither, or lies in the past. */
uint64_t retry_after_s(const char *text, uint64_t now_us);
