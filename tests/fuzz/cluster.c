/* cluster.yaml: what is read is written and read again as the same, and an edit gives a text that says what was
 * asked for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/service/cluster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 1 << 20 };

static struct cluster *
again(const struct buf *text)
{
	struct cluster *c = NULL;

	if (cluster_read(&c, text->data, text->len, "edited.yaml") != 0)
		abort();
	return c;
}

static void
edit(const char *text, size_t len, const struct cluster *c)
{
	const char *name = c->n_services ? c->services[0].name : "redis";
	SCOPED(buf_done) struct buf set = BUF_MAX(TEXT_MAX), removed = BUF_MAX(TEXT_MAX);
	SCOPED(buf_done) struct buf held = BUF_MAX(TEXT_MAX), added = BUF_MAX(TEXT_MAX);
	SCOPED(buf_done) struct buf shown = BUF_MAX(8 * TEXT_MAX);
	struct cluster *d;
	bool there;

	if (cluster_set(&set, text, len, name, "maxmemory", "64mb") == 0) {
		d = again(&set);
		cluster_difference(&shown, text, buf_text(&set));
		if (strcmp(cluster_knob(cluster_find(d, name), "maxmemory"), "64mb") != 0)
			abort();
		cluster_free(d);
	}
	if (cluster_member(&held, text, len, name, "hold", "true") == 0) {
		d = again(&held);
		if (!cluster_find(d, name)->hold)
			abort();
		cluster_free(d);
	}
	buf_reset(&held);
	if (cluster_member(&held, text, len, name, "update", "auto") == 0) {
		d = again(&held);
		if (!cluster_find(d, name)->automatic)
			abort();
		cluster_free(d);
	}
	buf_reset(&set);
	if (cluster_set(&set, text, len, name, "maxmemory", NULL) == 0) {
		d = again(&set);
		if (cluster_knob(cluster_find(d, name), "maxmemory"))
			abort();
		cluster_free(d);
	}
	if (cluster_set(&set, text, len, name, "maxmemory", "two\nlines") == 0)
		abort();
	if (cluster_names(&there, text, len, name) == 0 && there != (c->n_services > 0))
		abort();
	if (cluster_remove(&removed, text, len, name) == 0) {
		d = again(&removed);
		cluster_difference(&shown, text, buf_text(&removed));
		if (cluster_names(&there, buf_text(&removed), removed.len, name) != 0 || there)
			abort();
		if (cluster_find(d, name) || d->n_services + 1 != c->n_services)
			abort();
		cluster_free(d);
	}
	if (cluster_install(&added, text, len, "added", NULL) == 0) {
		d = again(&added);
		if (!cluster_find(d, "added") || d->n_services != c->n_services + 1)
			abort();
		cluster_free(d);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf first = BUF_MAX(TEXT_MAX), second = BUF_MAX(TEXT_MAX);
	SCOPED(buf_done) struct buf places = BUF_MAX(2 * TEXT_MAX);
	SCOPED_JSON *json = NULL, *back = NULL, *placed = NULL;
	struct cluster *c = NULL, *d = NULL;

	log_quiet_refusals(true);
	if (cluster_parse(&d, data, size) == 0)
		d = cluster_free(d);
	if (cluster_read(&c, data, size, "fuzz.yaml") != 0)
		return 0;
	json = cluster_json(c);
	if (json_canonical(&first, json) != 0 || cluster_parse(&d, first.data, first.len) != 0)
		abort();
	back = cluster_json(d);
	if (json_canonical(&second, back) != 0 || !json_equal(json, back))
		abort();
	d = cluster_free(d);
	placed = cluster_json_placed(c);
	if (json_canonical(&places, placed) != 0 || cluster_parse(&d, places.data, places.len) != 0)
		abort();
	edit((const char *)data, size, c);
	cluster_free(c);
	cluster_free(d);
	return 0;
}
