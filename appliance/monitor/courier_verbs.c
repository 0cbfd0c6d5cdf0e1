#include "appliance/monitor/courier_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/enrol/enrol_site.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/rotation.h"
#include "appliance/monitor/proxy.h"
#include "appliance/trust/httpsig.h"

enum {
	CA_MAX = 64 * 1024,
	RENEW_DAYS = 3, /* before the end of a key statement */
	SLACK_S = 3600,
	FAR_MS = 3600 * 1000, /* clocks that differ by more: key statements go by the hub's */
	UNTIL_MAX = 1024,
};
#define UNTIL_FILE "daemon.json"

static const uint64_t day_us = 24 * 3600 * CLOCK_US_PER_S;
/* The farthest that two clocks can be apart: 1970 and 9999. */
static const int64_t offset_max_ms = INT64_C(8100) * 366 * 24 * 3600 * 1000;

struct courier {
	struct monitor *m;
	json_t *daemon;	       /* the courier's key, signed by the site */
	uint64_t not_after_us; /* of it */
	uint64_t floor_us;     /* that the courier was told last */
	uint64_t until_us;     /* the latest end that any statement gave, also in a former life */
	char ca[CA_MAX + 1];   /* the customer's CA, PEM; "" for the system's */
	char proxy[SITE_PROXY_MAX];
	struct timespec proxy_time; /* of etc/proxy when it was read last; 0: there was none */
};

/* --- configuration ------------------------------------------------------------------------------- */
/* etc/ca.pem was put there by `mainstay enrol --ca`; the monitor passes it on unread. */
static void
load_ca(struct courier *c)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CA_MAX);
	SCOPED(scope_close) int fd = open(c->m->paths.etc, O_PATH | O_DIRECTORY | O_CLOEXEC);

	c->ca[0] = '\0';
	if (fd >= 0 && fs_read(fd, "ca.pem", CA_MAX, &b) == 0 && b.len > 0 &&
		!memchr(b.data, '\0', b.len))
		memcpy(c->ca, b.data, b.len + 1);
}

static struct timespec
proxy_time(const struct courier *c)
{
	struct stat st = { 0 };
	char path[sizeof(c->m->paths.etc) + 16];

	(void)snprintf(path, sizeof(path), "%s/" PROXY_FILE, c->m->paths.etc);
	return stat(path, &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
}

/* The file, else what the enrolment was given.  A file that holds no proxy changes nothing: it was refused aloud. */
static void
load_proxy(struct courier *c)
{
	char url[PROXY_MAX];
	int r;

	c->proxy_time = proxy_time(c);
	r = proxy_read(url, c->m->paths.etc);
	if (r == 0)
		(void)snprintf(c->proxy, sizeof(c->proxy), "%s", url);
	else if (r == REASON_NOT_FOUND)
		(void)snprintf(c->proxy, sizeof(c->proxy), "%s", c->m->site.proxy);
	else if (r < 0)
		log_fault(r, "etc/" PROXY_FILE);
}

/* Near its end; or, after the clock was wrong for a while, so far from it that no hub takes it. */
static bool
key_is_due(const struct courier *c, uint64_t now)
{
	return now + RENEW_DAYS * day_us >= c->not_after_us ||
		c->not_after_us > now + ENROL_WIRE_DAEMON_DAYS * day_us + SLACK_S * CLOCK_US_PER_S;
}

/* The hub alone judges the end of a key statement, and by its own clock: so where ours is far off, its time is used
 * here, as in a signature's created.  Nothing of ours is judged by it. */
static uint64_t
hub_now_us(const struct monitor *m, uint64_t now)
{
	int64_t hub_ms = (int64_t)(clock_now_us() / CLOCK_US_PER_MS) + m->offset_ms;

	if ((m->offset_ms > -FAR_MS && m->offset_ms < FAR_MS) || hub_ms <= 0)
		return now;
	return (uint64_t)hub_ms * CLOCK_US_PER_MS;
}

/* Statements end later and later, also where the clock was set back a little: the hub takes no other.  Where
 * it was set back by more, no hub took what was said before. */
static uint64_t
next_end(const struct courier *c, uint64_t now)
{
	uint64_t end = now + ENROL_WIRE_DAEMON_DAYS * day_us;

	if (end <= c->until_us && c->until_us < end + SLACK_S * CLOCK_US_PER_S)
		end = c->until_us + CLOCK_US_PER_S;
	return end - end % CLOCK_US_PER_MS; /* as it can be written */
}

int
courier_verbs_statement(struct monitor *m, const struct ed25519 *by, json_t **ret)
{
	struct courier *c = m->courier;
	SCOPED_JSON *kept = json_object();
	uint64_t end = next_end(c, hub_now_us(m, monitor_now_us(m)));
	int r = kept ? json_put_time(kept, "until", end) : -ENOMEM;

	r = r ?: monitor_save_json(m, UNTIL_FILE, kept);
	r = r ?: enrol_site_daemon(ret, m->site.site, m->site.courier, end, by);
	if (r)
		return r < 0 ? FAULT(r) : r;
	c->until_us = end;
	/* What goes to the hub another way is what the courier says, too: an earlier one would be refused there for as long as it
	 * is good. */
	if (by == m->site.key) {
		json_decref(c->daemon);
		c->daemon = json_incref(*ret);
		c->not_after_us = end;
	}
	return 0;
}

void
courier_verbs_rekeyed(struct monitor *m)
{
	json_decref(m->courier->daemon);
	m->courier->daemon = NULL;
}

static int
renew_daemon(struct courier *c)
{
	struct monitor *m = c->m;
	uint64_t now = hub_now_us(m, monitor_now_us(m));
	json_t *envelope = NULL;
	int r;

	if (!m->site.key || !m->site.has_courier || (c->daemon && !key_is_due(c, now)))
		return 0;
	r = courier_verbs_statement(m, m->site.key, &envelope);
	json_decref(envelope);
	return r < 0 ? FAULT(r) : r;
}

json_t *
courier_verbs_config(struct monitor *m)
{
	struct courier *c = m->courier;
	bool enrolled = monitor_enrolled(m);
	SCOPED_JSON *doc = json_object(), *switches = json_object();
	int r = doc && switches ? 0 : -ENOMEM;

	c->floor_us = m->floor.us;
	load_ca(c);
	load_proxy(c);
	for (unsigned i = 0; r == 0 && i < SWITCH_MAX; i++)
		r = json_object_set_new(switches, switch_text((enum switch_name)i),
			json_boolean(monitor_switch_on(m, (enum switch_name)i)));
	r = r ?: json_object_set(doc, "switches", switches);
	r = r ?: json_object_set_new(doc, "enrolled", json_boolean(enrolled));
	r = r ?: json_object_set_new(doc, "record", json_boolean(monitor_recorded(m)));
	r = r ?: json_put_text(doc, "site", monitor_site(m));
	r = r ?: json_put_text(doc, "customer", monitor_customer(m));
	if (r == 0 && enrolled) {
		r = renew_daemon(c);
		r = r ?: json_object_set(doc, "hub", m->site.card->facts);
		r = r ?: json_put_text(doc, "proxy", c->proxy);
		r = r ?: json_put_text(doc, "ca", c->ca);
		r = r
			?: json_put_time(doc, "floor",
				   m->floor.us > FLOOR_LEAST_US ? m->floor.us : FLOOR_LEAST_US);
	}
	if (r == 0 && enrolled && c->daemon)
		r = json_object_set(doc, "daemon", c->daemon);
	r = r ?: rotation_config(m, doc);
	return r == 0 ? STEAL(doc) : NULL;
}

static int
on_hello(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct courier *c = arg;
	uint8_t key[32];
	const char *text;
	json_t *config;
	int r = monitor_call_need(call, "key", &text);

	if (r)
		return r;
	if (!hex_decode(key, sizeof(key), text))
		return REFUSE(REASON_MALFORMED, "key", "is no key");
	if (!m->site.has_courier || memcmp(key, m->site.courier, sizeof(key)) != 0) {
		memcpy(m->site.courier, key, sizeof(key));
		m->site.has_courier = true;
		json_decref(c->daemon);
		c->daemon = NULL;
	}
	config = courier_verbs_config(m);
	if (!config)
		return FAULT(-ENOMEM);
	monitor_answer(call, config);
	return 0;
}

/* --- the hub's answers --------------------------------------------------------------------------- */
static void
hear_clock(struct monitor *m, int64_t offset_ms)
{
	m->offset_ms = offset_ms;
	m->offset_at_us = clock_now_us();
}

int
courier_verbs_hear_clock(struct monitor *m, const char *offset_ms)
{
	int64_t offset = 0;

	if (!offset_ms)
		return 0;
	if (number_i64(&offset, offset_ms, -offset_max_ms, offset_max_ms) != 0)
		return REFUSE(REASON_MALFORMED, "offset_ms", "is no difference of two clocks");
	hear_clock(m, offset);
	return 0;
}

static int
verify_reply(struct monitor *m, const struct monitor_call *call, const char *nonce, unsigned *ret_status,
	uint64_t *ret_created_s)
{
	static const struct {
		const char *param, *header;
	} names[] = {
		{ "signature_input", "Signature-Input" },
		{ "signature", "Signature" },
		{ "content_digest", "Content-Digest" },
		{ "committed", "Mainstay-Committed" },
	};
	struct httpsig_header headers[ARRAY_LEN(names)];
	struct httpsig_message msg = { .headers = headers };
	uint64_t status = 0;
	const void *body;
	size_t len;
	int r;

	if (!m->site.card)
		return REFUSE(REASON_NOT_FOUND, "reply",
			"the site is not enrolled: no hub is known");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = monitor_call_text(call, names[i].param);

		if (value && value[0])
			headers[msg.n_headers++] =
				(struct httpsig_header){ names[i].header, value };
	}
	r = monitor_call_u64(call, "status", 999, &status);
	if (r)
		return r;
	body = monitor_call_body(call, &len);
	msg.status = (int)status;
	r = httpsig_verify_reply(&msg, body, len, nonce, m->site.card->hub.reply, ret_created_s);
	*ret_status = (unsigned)status;
	return r < 0 ? FAULT(r) : r;
}

int
courier_verbs_check_reply(struct monitor *m, const struct monitor_call *call, const char *nonce,
	unsigned *ret_status)
{
	int r = verify_reply(m, call, nonce, ret_status, NULL);

	if (r == 0 && monitor_call_role(call) == CALL_ROLE_CONTROL)
		r = courier_verbs_hear_clock(m, monitor_call_text(call, "offset_ms"));
	return r;
}

static int
on_trouble(struct monitor *m, const char *token)
{
	if (strspn(token, "abcdefghijklmnopqrstuvwxyz-") != strlen(token) ||
		strlen(token) >= sizeof(m->trouble))
		return REFUSE(REASON_MALFORMED, "trouble", "is no word");
	(void)snprintf(m->trouble, sizeof(m->trouble), "%s", strcmp(token, "none") ? token : "");
	return 0;
}

/* The site key signs how long the courier's key lives by what is heard here: so it is the hub that must have said it.
 * An answer that is shown again makes the clock doubtful, and the key's life shorter. */
static int
on_contact(struct monitor *m, struct monitor_call *call, void *arg)
{
	const uint64_t last_s = (uint64_t)(offset_max_ms / 1000);
	const char *trouble = monitor_call_text(call, "trouble"), *nonce;
	uint64_t created_s = 0;
	unsigned status;
	int r;

	(void)arg;
	if (trouble)
		return on_trouble(m, trouble);
	r = monitor_call_need(call, "nonce", &nonce);
	r = r ?: verify_reply(m, call, nonce, &status, &created_s);
	if (r)
		return r;
	/* It counts whole seconds: their middle is the best guess. */
	hear_clock(m, (int64_t)(created_s < last_s ? created_s : last_s) * 1000 + 500 -
			(int64_t)(clock_now_us() / CLOCK_US_PER_MS));
	return 0;
}

/* --- module -------------------------------------------------------------------------------------- */
static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	SCOPED_JSON *config = NULL;
	struct courier *c = arg;

	if (!(changes & (MONITOR_CHANGE_SWITCH | MONITOR_CHANGE_RECORD)))
		return;
	if (changes & MONITOR_CHANGE_RECORD && !m->site.key) {
		json_decref(c->daemon);
		c->daemon = NULL;
	}
	config = courier_verbs_config(m);
	if (config)
		monitor_push(m, CALL_ROLE_COURIER, "config", config);
}

/* A key statement that nears its end is renewed by the configuration that carries it; a risen floor is told by it. */
static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	struct courier *c = arg;
	struct timespec at = proxy_time(c);

	if (monitor_enrolled(m) &&
		(at.tv_sec != c->proxy_time.tv_sec || at.tv_nsec != c->proxy_time.tv_nsec))
		on_changed(m, MONITOR_CHANGE_SWITCH, c);
	if ((c->daemon && key_is_due(c, hub_now_us(m, now_us))) || c->floor_us != m->floor.us)
		on_changed(m, MONITOR_CHANGE_SWITCH, c);
}

static void
courier_free(void *arg)
{
	struct courier *c = arg;

	json_decref(c->daemon);
	free(c);
}

static const struct monitor_module module = {
	.name = "courier",
	.changed = on_changed,
	.tick = on_tick,
	.free = courier_free,
};

const char *
courier_verbs_proxy(const struct monitor *m)
{
	return m->courier->proxy;
}

int
courier_verbs_init(struct monitor *m)
{
	struct courier *c = calloc(1, sizeof(*c));
	SCOPED_JSON *kept = NULL;
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	c->m = m;
	m->courier = c;
	/* Where it is gone the hub may refuse a statement or two until the clock is past the former ones. */
	if (monitor_load_json(m, UNTIL_FILE, UNTIL_MAX, &kept) == 0)
		(void)clock_parse(&c->until_us, json_text(kept, "until"));
	r = monitor_add_module(m, &module, c);
	r = r ?: monitor_register_verb(m, "courier.hello", CALL_ROLE_COURIER, on_hello, c);
	return r ?: monitor_register_verb(m, "contact", CALL_ROLE_COURIER, on_contact, NULL);
}
