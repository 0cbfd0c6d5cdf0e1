#include "updater/release/release_provenance.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"
#include "updater/release/release_build.h"
#include "updater/release/release_package.h"
#include "updater/release/release_sbom.h"

static int
add_material(json_t *list, const char *name, const uint8_t sha256[32])
{
	char hex[65];

	hex_encode(hex, sha256, 32);
	return json_array_append_new(list,
		       json_pack("{s:s, s:{s:s}}", "name", name, "digest", "sha256", hex)) < 0
		? FAULT(-ENOMEM)
		: 0;
}

/* The folder's files, and the packages by their URL: what one has to have to make it again. */
static int
materials(const struct release_made *m, json_t *list)
{
	size_t n = 0;
	SCOPED(scope_free) const char **packages = release_package_sorted(m->facts, &n);
	int r = packages ? add_material(list, "service.yaml", m->folder_file) : FAULT(-ENOMEM);
	char url[600];

	r = r ?: add_material(list, "definition.json", m->x->definition);
	for (size_t i = 0; !r && i < m->x->n_entries; i++) {
		const struct tree_entry *e = &m->x->entries[i];
		const char *origin = json_text(m->origins, e->path);

		/* Files of this machine that no package brought have only their hash to go by. */
		if (e->type == TREE_TYPE_FILE && strcmp(origin, "service.yaml") != 0 &&
			!json_object_get(m->owners, origin))
			r = add_material(list, origin, e->sha256);
	}
	for (size_t i = 0; !r && i < n; i++) {
		release_package_url(url, sizeof(url), json_object_get(m->facts, packages[i]));
		if (json_array_append_new(list, json_pack("{s:s}", "uri", url)) < 0)
			r = FAULT(-ENOMEM);
	}
	return r;
}

int
release_provenance_write(const struct release_made *m, struct buf *out)
{
	const struct release_options *o = m->options;
	SCOPED_JSON *list = json_array(), *doc = NULL, *details = NULL;
	char hex[65], target[200], time[CLOCK_TEXT_MAX];
	int r = list ? materials(m, list) : FAULT(-ENOMEM);

	if (r)
		return r;
	hex_encode(hex, m->index, SHA256_LEN);
	(void)snprintf(target, sizeof(target), "services/%s/%s/index.json", m->x->service, m->x->version);
	clock_format_s(time, o->epoch_us);
	details = json_pack("{s:{s:s}}", "builder", "id", o->builder);
	if (o->epoch_us && json_object_set_new(details, "metadata", json_pack("{s:s}", "finishedOn", time)) < 0)
		return FAULT(-ENOMEM);
	doc = json_pack(
		"{s:s, s:[{s:s, s:{s:s}}], s:s, s:{s:{s:s, s:{s:s, s:s, s:s, s:s, s:s}, s:O}, s:O}}",
		"_type", "https://in-toto.io/Statement/v1", "subject", "name", target, "digest",
		"sha256", hex, "predicateType", "https://slsa.dev/provenance/v1", "predicate",
		"buildDefinition", "buildType", "urn:mainstay:release-build:v1", "externalParameters",
		"service", m->x->service, "version", m->x->version, "platform", o->platform,
		"channel", o->channel, "class", o->class, "resolvedDependencies", list,
		"runDetails", details);
	r = doc ? json_canonical(out, doc) : -ENOMEM;
	r = r ?: buf_error(out);
	return r < 0 ? FAULT(r) : r;
}
