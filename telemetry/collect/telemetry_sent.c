#include "telemetry/collect/telemetry_sent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/class.h"
#include "appliance/egress/ledger.h"
#include "appliance/record/record.h"
#include "appliance/trust/sha256.h"
#include "telemetry/collect/telemetry_show.h"

/* The two writers' folders below lib. */
static const char *const ledgers[] = { "telemetry/spool", "outbox" };

static void
free_ack(struct ack **a)
{
	*a = ack_free(*a);
}

int
telemetry_sent_acks(struct ack **ret, const struct paths *paths)
{
	char path[sizeof(paths->lib) + 32];
	SCOPED(scope_close) int fd = -1;
	int r;

	(void)snprintf(path, sizeof(path), "%s/courier", paths->lib);
	fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0) /* there was no courier yet, or it is not ours to read */
		return 0;
	r = ack_open(ret, fd); /* reads all now: the folder need not stay open for ack_get() */
	return r < 0 ? FAULT(r) : 0;
}

static void
add_receiver(char to[TELEMETRY_SENT_TO_MAX], const char *name, size_t name_len)
{
	size_t len = strlen(to);

	(void)snprintf(to + len, TELEMETRY_SENT_TO_MAX - len, "%s%.*s", len ? ", " : "", (int)name_len, name);
}

const char *
telemetry_sent_state(
	const struct ack *acks, const char *stream, uint64_t sequence, char to[TELEMETRY_SENT_TO_MAX])
{
	const char *hub = strcmp(stream, LEDGER_WITNESS) == 0 ? "witness" : "hub", *place;
	bool waits;
	json_t *value;

	to[0] = '\0';
	if (!acks)
		return "waiting";
	waits = !ack_has(acks, stream, sequence);
	if (!waits && !ack_passed(acks, stream, sequence))
		add_receiver(to, hub, strlen(hub));
	json_object_foreach (ack_streams(acks), place, value) {
		const char *slash = strchr(place, '/');

		if (!slash || strcmp(slash + 1, stream) != 0)
			continue;
		if (!ack_has(acks, place, sequence))
			waits = true;
		else if (!ack_passed(acks, place, sequence))
			add_receiver(to, place, (size_t)(slash - place));
	}
	if (to[0])
		return "sent";
	return waits ? "waiting" : "kept";
}

/* --- one stream ------------------------------------------------------------------------------------------- */
/* each() for the entries from sequence on; stops at what it returns but 0. */
static int
walk_stream(int dir_fd, const char *stream, uint64_t sequence, telemetry_sent_fn *each, void *arg)
{
	SCOPED(record_reader_closep) struct record_reader *reader = NULL;
	SCOPED(buf_done) struct buf in = BUF_MAX(LEDGER_RECORD_MAX);
	struct ledger_entry e;
	int r;

	r = record_reader_open(&reader, dir_fd, stream, sequence);
	if (r == REASON_NOT_FOUND)
		return 0;
	while (r == 0) {
		r = record_reader_next(reader, &in, &sequence);
		if (r == REASON_ALTERED) { /* logged; what follows it is still shown */
			r = record_reader_skip(reader);
			continue;
		}
		r = r ?: ledger_decode(&e, in.data, in.len, stream);
		r = r ?: each(stream, sequence, &e, arg);
	}
	if (r == RECORD_END)
		return 0;
	return r < 0 ? FAULT(r) : r;
}

static int
walk_ledger(const struct paths *paths, const char *ledger, telemetry_sent_fn *each, void *arg)
{
	char path[sizeof(paths->lib) + 32];
	struct dirent **names = NULL;
	SCOPED(scope_close) int dir_fd = -1;
	int r = 0, i, n;

	(void)snprintf(path, sizeof(path), "%s/%s", paths->lib, ledger);
	dir_fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (dir_fd < 0)
		return errno == ENOENT ? 0 : FAULT(-errno);
	n = scandir(path, &names, NULL, alphasort);
	if (n < 0)
		return FAULT(-errno);
	for (i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		if (r == 0 && names[i]->d_type == DT_DIR && name[0] != '.' &&
			strlen(name) <= LEDGER_STREAM_MAX)
			r = walk_stream(dir_fd, name, 1, each, arg);
		free(names[i]);
	}
	free(names);
	return r < 0 ? FAULT(r) : r;
}

int
telemetry_sent_each(const struct paths *paths, telemetry_sent_fn *each, void *arg)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(ledgers); i++)
		r = walk_ledger(paths, ledgers[i], each, arg);
	return r < 0 ? FAULT(r) : r;
}

/* --- the list --------------------------------------------------------------------------------------------- */
struct list {
	json_t *items;
	struct ack *acks;
	uint64_t since_us;
	const char *class_name; /* only of this; NULL: all */
};

static int
put_item(const char *stream, uint64_t sequence, const struct ledger_entry *e, void *arg)
{
	struct list *l = arg;
	char to[TELEMETRY_SENT_TO_MAX];
	const char *state = telemetry_sent_state(l->acks, stream, sequence, to);
	json_t *item;

	if (e->time_us < l->since_us || (l->class_name && strcmp(l->class_name, e->class_name) != 0))
		return 0;
	item = json_pack("{s:s, s:I, s:I, s:s, s:s, s:s, s:s}", "stream", stream, "sequence",
		(json_int_t)sequence, "bytes", (json_int_t)e->plain_len, "class", e->class_name, "path",
		e->path, "state", state, "to", to);
	if (!item || json_put_time(item, "time", e->time_us) < 0 ||
		json_array_append(l->items, item) < 0) {
		json_decref(item);
		return FAULT(-ENOMEM);
	}
	json_decref(item);
	return 0;
}

static int
read_since(const struct command_call *call, uint64_t *ret_us)
{
	const char *text = command_option(call, "since");
	uint64_t span_us, now_us = clock_now_us();

	*ret_us = 0;
	if (!text || clock_parse(ret_us, text) == 0)
		return 0;
	if (clock_parse_span(&span_us, text) != 0)
		return REFUSE(REASON_USAGE, text, "is neither a time (2026-11-21T20:30:00Z) nor a span (1h)");
	*ret_us = span_us < now_us ? now_us - span_us : 0;
	return 0;
}

static int
by_time(const void *a, const void *b)
{
	const char *ta = json_string_value(json_object_get(*(json_t *const *)a, "time"));
	const char *tb = json_string_value(json_object_get(*(json_t *const *)b, "time"));

	return strcmp(ta, tb); /* RFC 3339 with equal precision sorts as text */
}

static int
sort_items(json_t **items)
{
	size_t i, n = json_array_size(*items);
	SCOPED(scope_free) json_t **list = calloc(n + 1, sizeof(*list));
	json_t *sorted = json_array();

	for (i = 0; list && i < n; i++)
		list[i] = json_array_get(*items, i);
	if (list)
		qsort(list, n, sizeof(*list), by_time);
	for (i = 0; list && sorted && i < n; i++)
		if (json_array_append(sorted, list[i]) < 0)
			break;
	if (!list || !sorted || i < n) {
		json_decref(sorted);
		return FAULT(-ENOMEM);
	}
	json_decref(*items);
	*items = sorted;
	return 0;
}

static int
run_list(struct command_call *call)
{
	static const char *const columns[] = { "time", "stream", "sequence", "class", "bytes", "state", "to", NULL };
	SCOPED(free_ack) struct ack *acks = NULL;
	SCOPED_JSON *items = json_array();
	struct list l = { .items = items, .class_name = command_option(call, "class") };
	enum class_name class;
	int r;

	if (!items)
		return FAULT(-ENOMEM);
	if (l.class_name && !class_parse(&class, l.class_name))
		return REFUSE(REASON_USAGE, l.class_name, "is no class: alert, heartbeat, inventory, metric, log, result, "
			"recording, audit, bundle");
	r = read_since(call, &l.since_us);
	r = r ?: telemetry_sent_acks(&acks, &call->paths);
	l.acks = acks;
	r = r ?: telemetry_sent_each(&call->paths, put_item, &l);
	r = r ?: sort_items(&items);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	return command_print_items(call, "TelemetrySentList", STEAL(items), columns);
}

/* --- one body ---------------------------------------------------------------------------------------------- */
enum { FOUND = 1100 }; /* outcome of on_body(): that was it */

struct wanted {
	struct command_call *call;
	const char *stream;
	uint64_t sequence;
};

/* As preview shows it; what is no metric and no log line stands there whole. */
static int
print_decoded(const struct command_call *call, const struct ledger_entry *e, json_t *items, const uint8_t digest[SHA256_LEN])
{
	static const char *const columns[] = { "class", "service", "name", "attributes", "value", "unit", NULL };
	char text[SHA256_TEXT_MAX];
	const json_t *item = json_array_get(items, 0), *payload = json_object_get(item, "payload");
	int r;

	if (json_object_get(item, "name")) {
		r = command_print_items(call, "TelemetryBody", json_incref(items), columns);
	} else {
		r = json_dumpf(payload ? payload : json_object_get(item, "value"), stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		r = r < 0 || putchar('\n') == EOF ? FAULT(-EIO) : 0;
	}
	command_say(call, "%s: %u bytes, %s", e->class_name, (unsigned)e->plain_len, sha256_text(text, digest));
	return r;
}

static int
print_body(const struct wanted *w, const struct ledger_entry *e)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(2 * LEDGER_PLAIN_MAX), room = BUF_MAX(LEDGER_PLAIN_MAX);
	const uint8_t *body;
	size_t len;
	json_t *doc;
	SCOPED_JSON *items = json_array();
	uint8_t digest[SHA256_LEN];
	int r = ledger_plain(e, &room, &body, &len, w->stream);

	if (r != 0 || !items)
		return r > 0 ? r : FAULT(r ?: -ENOMEM);
	if (command_option(w->call, "raw")) /* the very bytes, before compression */
		return fwrite(body, 1, len, stdout) == len && fflush(stdout) == 0 ? 0 : FAULT(-EIO);
	hex_base64(&text, body, len);
	if (buf_error(&text))
		return FAULT(buf_error(&text));
	sha256_of(digest, body, len);
	r = telemetry_show(items, e->class_name, e->path, body, len);
	if (r < 0 || (r > 0 && !w->call->json))
		return r < 0 ? FAULT(r) : r;
	if (!w->call->json)
		return print_decoded(w->call, e, items, digest);
	/* What cannot be decoded is said and shown all the same: as it is. */
	doc = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:O?}", "stream", w->stream, "sequence",
		(json_int_t)w->sequence, "class", e->class_name, "path", e->path, "content_type",
		e->content_type, "body", buf_text(&text), "items", r == 0 ? items : NULL);
	if (!doc)
		return FAULT(-ENOMEM);
	r = json_put_time(doc, "time", e->time_us);
	r = r ?: json_put_sha256(doc, "digest", digest);
	if (r < 0) {
		json_decref(doc);
		return FAULT(r);
	}
	return command_print_json("TelemetryBody", doc);
}

static int
on_body(const char *stream, uint64_t sequence, const struct ledger_entry *e, void *arg)
{
	const struct wanted *w = arg;
	int r;

	(void)stream;
	if (sequence != w->sequence)
		return RECORD_END; /* the reader begins at the oldest that is kept */
	r = print_body(w, e);
	return r != 0 ? r : FOUND;
}

static int
run_body(struct command_call *call, const char *which)
{
	const char *colon = strrchr(which, ':');
	char stream[LEDGER_STREAM_MAX + 1], path[sizeof(call->paths.lib) + 32];
	struct wanted w = { .call = call, .stream = stream };
	size_t i;
	int r = 0;

	if (!colon || colon == which || (size_t)(colon - which) > LEDGER_STREAM_MAX ||
		number_u64(&w.sequence, colon + 1, UINT64_MAX) != 0 || w.sequence == 0)
		return REFUSE(REASON_USAGE, which, "is not STREAM:SEQUENCE, as in metrics:17");
	(void)snprintf(stream, sizeof(stream), "%.*s", (int)(colon - which), which);
	if (stream[strspn(stream, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		return REFUSE(REASON_USAGE, which, "names no stream");
	for (i = 0; r == 0 && i < ARRAY_LEN(ledgers); i++) {
		SCOPED(scope_close) int fd = -1;

		(void)snprintf(path, sizeof(path), "%s/%s", call->paths.lib, ledgers[i]);
		fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			r = walk_stream(fd, stream, w.sequence, on_body, &w);
		else if (errno != ENOENT)
			r = -errno;
	}
	if (r == FOUND)
		return 0;
	if (r == 0)
		return REFUSE(REASON_NOT_FOUND, which, "is not in the ledger (any more)");
	return r < 0 ? FAULT(r) : r;
}

int
telemetry_sent_run(struct command_call *call)
{
	const char *body = command_option(call, "body");

	return body ? run_body(call, body) : run_list(call);
}
