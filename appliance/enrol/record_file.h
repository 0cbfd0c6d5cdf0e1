/* What an engineer's word for a site is as a file, for a site that no network reaches.
 *
 *   mainstay-desk accept SITE --out F  ->  F  ->  mainstay enrol --record F
 *
 *   {"v":1,"record":ENVELOPE,"metadata":{FILE:TEXT,...}}
 *
 * record is the site record (site_record.h).  metadata is what the repository held of the way from the card's root to
 * the people document: each FILE below the hub's /tuf/ ("2.root.json", "timestamp.json", ...,
 * "targets/people/HASH.people.json") with its very bytes.  Nothing is believed because it stands in such a file: the
 * monitor checks it all as it does what the courier brings. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct buf;

enum {
	RECORD_FILE_MAX = 16 * 1024 * 1024,
	RECORD_FILE_DOCUMENTS_MAX = 512, /* 256 steps of root among them */
};

/* Append the file's bytes.  Returns 0; REASON_TOO_LARGE (logged); or a fault. */
int record_file_write(struct buf *out, const json_t *record, const json_t *metadata);

/* Take it apart; both are the caller's; every member of *ret_metadata is a text.  Returns 0; REASON_MALFORMED,
 * REASON_TOO_LARGE, REASON_UNKNOWN_FIELD (logged); or a fault. */
int record_file_read(json_t **ret_record, json_t **ret_metadata, const void *p, size_t len);
