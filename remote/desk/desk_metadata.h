/* What a site that no network reaches needs to believe a record: the repository's way from the card to the people. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct desk;

/* Fetch and verify, from the card's own root on and without this desk's cache, everything up to the people document.
 * *ret is the caller's: {FILE: TEXT} as record_file.h says.  *ret_until_us is when the first of it ends.  Returns 0;
 * what the TUF client says; REASON_NOT_FOUND (logged), REASON_UNREACHABLE; or a fault. */
int desk_metadata_collect(struct desk *d, json_t **ret, uint64_t *ret_until_us);
