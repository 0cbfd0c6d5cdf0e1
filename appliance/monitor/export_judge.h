/* What an export says of people, judged by an auditor: whose keys requests and permits are signed with.
 *
 * An export that export_check() takes is the site's word, and its requests are signed by some key.  Here: each permit is
 * a signature over the very plan and request, and a leaf says so; and, with the vendor's card, that each request's key
 * was an engineer's for this customer by the people document that lies in the export, vouched for by the card's root
 * (TUF; every expiry is held against the time of the first leaf).  A document is the site's latest: a key that was
 * revoked since counts as revoked. */
#pragma once

#include <jansson.h>

struct card;

/* doc is the export, entries export_check()'s; card NULL: whose key it is is not judged.  *ret (the caller's) is
 * [{"id","engineer","key","people","approvers":[{"name","key","decision","standing"}]}], "people" being what was judged in
 * words.  Returns 0; REASON_ALTERED (a permit that is about something else, or of which no leaf tells); what
 * permit_split(), permit_signer(), the TUF workflow and people_engineer_listed() refuse; REASON_NOT_FOUND where the
 * export holds no chain from the card's root, REASON_MALFORMED (all logged); or a fault. */
int export_judge(json_t **ret, const json_t *doc, const json_t *entries, const struct card *card);
