/* TUF documents: what is split comes together again, and nothing that follows a split crashes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A root, were it trusted, is asked everything that a client asks. */
static void
as_root(const uint8_t *data, size_t size)
{
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	struct tuf_want want;

	if (tuf_client_new(&c, data, size, 1) != 0)
		return;
	(void)tuf_client_update(c, "root", data, size);
	(void)tuf_client_absent(c);
	if (tuf_client_want(c, &want))
		(void)tuf_client_update(c, want.role, data, size);
}

/* The two halves go to another process and come together there. */
static void
halves(const struct tuf_split *s)
{
	SCOPED(tuf_split_done) struct tuf_split joined = { 0 };
	SCOPED_JSON *sigs = tuf_split_sigs(s);

	if (tuf_split_join(&joined, s->canonical.data, s->canonical.len, sigs, "joined") != 0 ||
		joined.n_sigs != s->n_sigs)
		abort();
}

/* What is listed names a safe file, and is measured. */
static void
listed(const json_t *list)
{
	static const uint8_t zero[64];
	json_t *list_, *one;
	const char *name;

	memcpy(&list_, &list, sizeof(list_)); /* jansson's iterator takes no const object */
	json_object_foreach(list_, name, one) {
		char file[TUF_FILE_MAX];

		if (strchr(tuf_file_name(file, name), '/'))
			abort();
		for (uint64_t length = 0; length < 4; length++)
			(void)tuf_measure_check(one, length & 1, length, zero, zero, "listed");
	}
}

/* Each pattern of a delegation against each target; a pattern without wildcards is its own path. */
static void
delegated(const json_t *signed_)
{
	const json_t *roles = json_object_get(json_object_get(signed_, "delegations"), "roles"), *role, *one;
	json_t *targets = json_object_get(signed_, "targets"), *target;
	const char *path;
	size_t i, j;

	json_array_foreach(roles, i, role) {
		json_array_foreach(json_object_get(role, "paths"), j, one) {
			const char *pattern = json_string_value(one);

			if (!pattern || strlen(pattern) > TUF_PATH_MAX)
				continue;
			if (!strpbrk(pattern, "*?[") && !pattern_match(pattern, pattern))
				abort();
			json_object_foreach(targets, path, target) {
				if (strlen(path) <= TUF_PATH_MAX)
					(void)pattern_match(pattern, path);
			}
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = { "root", "timestamp", "snapshot", "targets" };
	SCOPED(tuf_split_done) struct tuf_split s = { 0 }, again = { 0 };
	SCOPED(buf_done) struct buf doc = BUF_MAX(8 * 1024 * 1024);
	SCOPED_JSON *signed_ = NULL;

	log_quiet_refusals(true);
	as_root(data, size);
	if (tuf_split(&s, data, size, TUF_TARGETS_MAX, "document") != 0)
		return 0;
	if (tuf_split_document(&s, &doc) != 0)
		abort();
	if (tuf_split(&again, doc.data, doc.len, SIZE_MAX, "again") != 0)
		abort();
	if (again.canonical.len != s.canonical.len || again.n_sigs != s.n_sigs ||
		memcmp(again.canonical.data, s.canonical.data, s.canonical.len) != 0)
		abort();
	if (tuf_parse(&signed_, &s.canonical, "document") != 0)
		abort();
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		(void)tuf_check(signed_, types[i], "document");
	delegated(signed_);
	halves(&s);
	listed(json_object_get(signed_, "meta"));
	listed(json_object_get(signed_, "targets"));
	return 0;
}
