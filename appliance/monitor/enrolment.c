#include "appliance/monitor/enrolment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/clock.h"
#include "appliance/enrol/enrol_site.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/enrol/site_record.h"
#include "appliance/monitor/courier_need.h"
#include "appliance/monitor/courier_verbs.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/tree/platform.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/people.h"

/* One enrol.begin while its card is with the judge. */
struct begin {
	struct monitor *m;
	struct monitor_call *call;
	struct token token;
	uint8_t accept[32];
	char proxy[SITE_PROXY_MAX];
};

/* --- begin --------------------------------------------------------------------------------------- */
static int
read_begin(struct begin *b, const struct monitor_call *call)
{
	static const char prefix[] = "sha256:";
	const char *site, *customer, *secret, *expires, *accept;
	const char *proxy = monitor_call_text(call, "proxy");
	int r = monitor_call_need(call, "site", &site);

	r = r ?: monitor_call_need(call, "customer", &customer);
	r = r ?: monitor_call_need(call, "secret", &secret);
	r = r ?: monitor_call_need(call, "expires", &expires);
	r = r ?: monitor_call_need(call, "accept", &accept);
	if (r)
		return r;
	if (!token_name_ok(site) || !token_name_ok(customer) ||
		!hex_decode(b->token.secret, TOKEN_SECRET, secret) ||
		clock_parse(&b->token.expires_us, expires) != 0)
		return REFUSE(REASON_MALFORMED, "token", "is not of the agreed form");
	if (strncmp(accept, prefix, sizeof(prefix) - 1) != 0 ||
		!hex_decode(b->accept, sizeof(b->accept), accept + sizeof(prefix) - 1))
		return REFUSE(REASON_USAGE, "--accept",
			"must be the card's fingerprint, sha256:HEX");
	if (proxy && strlen(proxy) >= sizeof(b->proxy))
		return REFUSE(REASON_USAGE, "--proxy", "is too long");
	(void)snprintf(b->token.site, sizeof(b->token.site), "%s", site);
	(void)snprintf(b->token.customer, sizeof(b->token.customer), "%s", customer);
	(void)snprintf(b->proxy, sizeof(b->proxy), "%s", proxy ? proxy : "");
	return 0;
}

static int
check_card(const struct begin *b, const json_t *answer, struct card **ret)
{
	SCOPED(buf_done) struct buf bytes = BUF_MAX(CARD_MAX);
	SCOPED(card_freep) struct card *card = NULL;
	const json_t *sigs;
	char text[65];
	int r = judge_signed(answer, &bytes, &sigs);

	r = r ?: card_read_parts(&card, bytes.data, bytes.len, sigs);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (memcmp(card->fingerprint, b->accept, 32) != 0)
		return REFUSE(REASON_ALTERED, "vendor.card",
			"its fingerprint is sha256:%s, not the accepted one",
			hex_encode(text, card->fingerprint, 32));
	*ret = STEAL(card);
	return 0;
}

/* Where the site stands already, only the same vendor, site and customer may be begun again. */
static int
check_standing(const struct begin *b, const struct card *card)
{
	const struct site *s = &b->m->site;

	if (s->state != SITE_STATE_ENROLLED)
		return 0;
	if (strcmp(s->site, b->token.site) != 0 || strcmp(s->customer, b->token.customer) != 0 ||
		memcmp(s->card->fingerprint, card->fingerprint, 32) != 0)
		return REFUSE(REASON_CONFLICT, s->site,
			"is enrolled already; `mainstay leave` first");
	return 0;
}

static int
make_request(struct begin *b, json_t **ret)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(ENROL_WIRE_BODY_MAX);
	SCOPED_JSON *daemon = NULL;
	struct monitor *m = b->m;
	struct site *s = &m->site;
	uint64_t now = monitor_now_us(m);
	char url[CARD_URL_MAX + sizeof(ENROL_WIRE_PATH)], nonce[SITE_NONCE_MAX];
	int r;

	r = courier_verbs_statement(m, s->key, &daemon);
	r = r
		?: enrol_site_request(&body, &b->token, s->key, ed25519_public(s->audit_key),
			   daemon, platform_text(), now);
	if (r)
		return r < 0 ? FAULT(r) : r;
	/* The nonce is the request's own digest: a file that crosses an air gap says what its answer must repeat. */
	enrol_site_nonce(nonce, body.data, body.len);
	r = site_ask(s, m->dir_fd, nonce);
	if (r < 0)
		return FAULT(r);
	(void)snprintf(url, sizeof(url), "%s%s", s->card->hub.url, ENROL_WIRE_PATH);
	*ret = json_pack("{s:s, s:s, s:s, s:s}", "url", url, "body", buf_text(&body), "nonce",
		s->nonce, "proxy", s->proxy);
	return *ret ? 0 : FAULT(-ENOMEM);
}

static void
on_card(int r, const json_t *answer, void *arg)
{
	struct begin *b = arg;
	struct card *card = NULL;
	json_t *out = NULL;

	r = r ?: check_card(b, answer, &card);
	r = r ?: check_standing(b, card);
	if (r == 0)
		r = site_begin(&b->m->site, b->m->dir_fd, STEAL(card), &b->token, b->proxy);
	r = r ?: make_request(b, &out);
	card_free(card);
	monitor_answer_result(b->call, r, out);
	token_wipe(&b->token);
	free(b);
}

static int
on_begin(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct begin *b;
	const void *card;
	size_t len;
	int r;

	(void)arg;
	if (!m->site.has_courier)
		courier_need_key(m);
	if (!m->site.has_courier)
		return REFUSE(REASON_BUSY, "courier",
			"has not come up yet; its key belongs into the enrolment");
	card = monitor_call_body(call, &len);
	if (len == 0)
		return REFUSE(REASON_USAGE, "--card", "is empty");
	b = calloc(1, sizeof(*b));
	if (!b)
		return FAULT(-ENOMEM);
	b->m = m;
	b->call = call;
	r = read_begin(b, call);
	r = r ?: courier_verbs_hear_clock(m, monitor_call_text(call, "offset_ms"));
	r = r ?: monitor_judge(m, JUDGE_CARD, "vendor.card", card, len, on_card, b);
	if (r) {
		token_wipe(&b->token);
		free(b);
		return r < 0 ? FAULT(r) : r;
	}
	monitor_call_hold(call, NULL, NULL);
	return 0;
}

/* --- the site record ----------------------------------------------------------------------------- */
static int
is_enroller(const struct sshkey_public *key, const char *engineer, const char *customer, void *arg)
{
	const struct people_engineer *e = NULL;
	struct monitor *m = arg;
	int r = people_engineer_by_key(m->people, key, "enrol", customer, monitor_date_us(m), &e);

	if (r == 0 && strcmp(e->name, engineer) != 0)
		return REFUSE(REASON_UNKNOWN_KEY, engineer, "the key is %s's", e->name);
	return r;
}

static int
take_record(struct monitor *m, json_t *envelope)
{
	struct site_record record;
	char object[2 * SITE_RECORD_NAME_MAX];
	int r = site_record_verify(&record, envelope, is_enroller, m);

	if (r)
		return r < 0 ? FAULT(r) : r;
	r = site_record_check(&record, m->site.site, m->site.customer, ed25519_public(m->site.key));
	(void)snprintf(object, sizeof(object), "site record by %s", record.engineer);
	site_record_done(&record);
	r = r ?: monitor_leaf(m, "enrol", "courier", object, NULL, REASON_NONE);
	r = r ?: site_keep_record(&m->site, m->dir_fd, envelope);
	r = r ?: site_keep_pending(&m->site, m->dir_fd, NULL);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_changed(m, MONITOR_CHANGE_RECORD);
	return 0;
}

/* Believe it now, or keep it until there are people to ask. */
static int
offer_record(struct monitor *m, json_t *envelope)
{
	if (monitor_recorded(m))
		return 0;
	return m->people ? take_record(m, envelope)
			 : site_keep_pending(&m->site, m->dir_fd, envelope);
}

static int
on_record(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r;

	(void)arg;
	if (!monitor_enrolled(m))
		return REFUSE(REASON_NOT_FOUND, "record", "the site is not enrolled");
	r = envelope_open(&e, MESSAGE_SITE, body, len);
	r = r ?: offer_record(m, e->text);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_answer(call, json_pack("{s:b}", "recorded", monitor_recorded(m)));
	return 0;
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	SCOPED_JSON *pending = NULL;
	int r;

	(void)arg;
	if (!(changes & MONITOR_CHANGE_PEOPLE) || !m->people || !m->site.pending ||
		monitor_recorded(m))
		return;
	pending = json_incref(m->site.pending);
	r = take_record(m, pending);
	if (r < 0)
		log_fault(r, "taking the site record");
}

/* --- finish -------------------------------------------------------------------------------------- */
static int
take_answer(struct monitor *m, struct monitor_call *call, bool *ret_accepted)
{
	struct enrol_site_answer answer;
	bool first = m->site.state != SITE_STATE_ENROLLED;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	char object[TOKEN_NAME_MAX * 2 + 8];
	int r = enrol_site_answer(&answer, body, len, m->site.site, m->site.customer);

	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret_accepted = answer.accepted;
	(void)snprintf(object, sizeof(object), "%s of %s", m->site.site, m->site.customer);
	if (first) {
		r = audit_set_site(m->audit, m->site.site);
		r = r
			?: monitor_leaf(m, "enrol", monitor_call_actor(call), object,
				   m->site.card->fingerprint, REASON_NONE);
		r = r ?: site_enrolled(&m->site, m->dir_fd);
	}
	if (r == 0 && answer.record)
		r = offer_record(m, answer.record);
	enrol_site_answer_done(&answer);
	return r < 0 ? FAULT(r) : r;
}

static int
on_finish(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *nonce = monitor_call_text(call, "nonce");
	char text[SHA256_TEXT_MAX];
	uint8_t digest[SHA256_LEN];
	unsigned status = 0;
	bool accepted = false;
	int r;

	(void)arg;
	if (m->site.state == SITE_STATE_NONE)
		return REFUSE(REASON_NOT_FOUND, "enrolment", "was not begun");
	if (nonce && strcmp(nonce, m->site.nonce) != 0)
		return REFUSE(REASON_REPLAYED, "enrolment", "the answer is to another request");
	r = courier_verbs_check_reply(m, call, m->site.nonce, &status);
	if (r == 0 && status != 200)
		r = REFUSE(REASON_UNREACHABLE, "enrolment", "the hub answered %u", status);
	r = r ?: take_answer(m, call, &accepted);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_changed(m, MONITOR_CHANGE_RECORD);
	sha256_of(digest, ed25519_public(m->site.key), ED25519_KEY_LEN);
	monitor_answer(call,
		json_pack("{s:s, s:s, s:s, s:b, s:s}", "site", m->site.site, "customer",
			m->site.customer, "status", accepted ? "accepted" : "pending", "recorded",
			monitor_recorded(m), "fingerprint", sha256_text(text, digest)));
	return 0;
}

/* --- leave --------------------------------------------------------------------------------------- */
/* A courier that is up makes itself another key when it hears that the site left; one that is not, when it
 * comes. */
static int
drop_courier(struct monitor *m)
{
	m->site.has_courier = false;
	return unlinkat(m->lib_fd, "courier/courier.key", 0) < 0 && errno != ENOENT ? FAULT(-errno) : 0;
}

/* What the command says to the hub in the site's name, once more and for the last time. */
static int
make_goodbye(struct monitor *m, json_t **ret)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(ENROL_WIRE_BODY_MAX);
	SCOPED_JSON *p = json_object(), *envelope = NULL;
	char url[CARD_URL_MAX + sizeof(ENROL_WIRE_LEAVE)], nonce[ENROL_SITE_NONCE_MAX], reply[65];
	int r = p ? 0 : -ENOMEM;

	if (m->site.state != SITE_STATE_ENROLLED)
		return FAULT(r); /* the hub never answered: it knows of nobody */
	r = r ?: json_put_u64(p, "v", 1);
	r = r ?: json_put_text(p, "site", m->site.site);
	r = r ?: json_put_time(p, "time", monitor_now_us(m));
	r = r ?: monitor_sign(m, MESSAGE_GOODBYE, p, &envelope);
	r = r ?: json_canonical(&body, envelope);
	if (r)
		return FAULT(r);
	(void)snprintf(url, sizeof(url), "%s%s", m->site.card->hub.url, ENROL_WIRE_LEAVE);
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:s}", "url", url, "body", buf_text(&body), "nonce",
		enrol_site_nonce(nonce, body.data, body.len), "proxy", courier_verbs_proxy(m), "reply",
		hex_encode(reply, m->site.card->hub.reply, sizeof(m->site.card->hub.reply)));
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
on_leave(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct switch_record off = { 0 };
	char object[TOKEN_NAME_MAX * 2 + 8];
	SCOPED_JSON *goodbye = NULL;
	int r;

	(void)arg;
	if (m->site.state == SITE_STATE_NONE)
		return REFUSE(REASON_NOT_FOUND, "leave", "the site is not enrolled: there is nothing to leave");
	r = make_goodbye(m, &goodbye);
	if (r < 0)
		return FAULT(r);
	(void)snprintf(object, sizeof(object), "%s of %s", m->site.site, m->site.customer);
	r = monitor_leaf(m, "leave", monitor_call_actor(call), object, NULL, REASON_NONE);
	r = r ?: switch_save(&off, m->dir_fd);
	if (r == 0)
		m->switches = off;
	r = r ?: site_leave(&m->site, m->dir_fd);
	r = r ?: drop_courier(m);
	r = r ?: clone_over(m);
	r = r ?: audit_set_site(m->audit, AUDIT_UNENROLLED);
	if (r < 0)
		return FAULT(r);
	monitor_set_people(m, NULL);
	/* What the next vendor's hub will say of its clock and the way to it is another thing. */
	m->offset_at_us = 0;
	m->offset_ms = 0;
	m->trouble[0] = '\0';
	monitor_push(m, CALL_ROLE_COURIER, "left", NULL);
	monitor_changed(m, MONITOR_CHANGE_RECORD | MONITOR_CHANGE_SWITCH);
	monitor_answer(call, json_pack("{s:O?}", "goodbye", goodbye));
	return 0;
}

static const struct monitor_module module = { .name = "enrolment", .changed = on_changed };

int
enrolment_init(struct monitor *m)
{
	int r = monitor_add_module(m, &module, NULL);

	r = r ?: monitor_register_verb(m, "enrol.begin", CALL_ROLE_CONTROL, on_begin, NULL);
	r = r ?: monitor_register_verb(m, "enrol.finish", CALL_ROLE_CONTROL, on_finish, NULL);
	r = r ?: monitor_register_verb(m, "leave", CALL_ROLE_CONTROL, on_leave, NULL);
	return r ?: monitor_register_verb(m, "courier.record", CALL_ROLE_COURIER | CALL_ROLE_CONTROL, on_record,
		NULL);
}
