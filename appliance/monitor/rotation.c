#include "appliance/monitor/rotation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/enrol/enrol_site.h"
#include "appliance/enrol/rotate.h"
#include "appliance/monitor/courier_need.h"
#include "appliance/monitor/courier_verbs.h"
#include "appliance/monitor/inside.h"
#include "appliance/trust/sha256.h"

#define ASKED_FILE "rotate.json"
enum { ASKED_MAX = 1024 };

static int
make_body(struct monitor *m, struct buf *out)
{
	SCOPED_JSON *rotation = NULL, *daemon = NULL;
	struct site *s = &m->site;
	int r = rotate_seal(&rotation, s->site, s->key, s->next_key, monitor_now_us(m));

	r = r ?: courier_verbs_statement(m, s->next_key, &daemon);
	r = r ?: rotate_request(out, rotation, daemon);
	return r < 0 ? FAULT(r) : r;
}

int
rotation_config(struct monitor *m, json_t *doc)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(ROTATE_BODY_MAX);
	int r;

	if (!m->site.next_key || !m->site.has_courier)
		return 0;
	r = make_body(m, &body);
	return FAULT(r ?: json_put_text(doc, "rotation", buf_text(&body)));
}

static int
on_begin(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(ROTATE_BODY_MAX);
	char url[CARD_URL_MAX + sizeof(ROTATE_PATH)], nonce[ENROL_SITE_NONCE_MAX], reply[65];
	SCOPED_JSON *asked = NULL;
	json_t *answer;
	int r;

	(void)arg;
	if (!monitor_recorded(m))
		return REFUSE(REASON_NOT_APPROVED, "rotation", "no engineer vouches for the present key yet");
	if (!m->site.has_courier)
		courier_need_key(m);
	if (!m->site.has_courier)
		return REFUSE(REASON_BUSY, "courier", "has not come up yet; the new key signs for its key");
	r = site_make_next(&m->site, m->dir_fd);
	r = r ?: make_body(m, &body);
	if (r)
		return r < 0 ? FAULT(r) : r;
	enrol_site_nonce(nonce, body.data, body.len);
	asked = json_pack("{s:s}", "nonce", nonce);
	r = asked ? monitor_save_json(m, ASKED_FILE, asked) : -ENOMEM;
	if (r < 0)
		return FAULT(r);
	(void)snprintf(url, sizeof(url), "%s%s", m->site.card->hub.url, ROTATE_PATH);
	answer = json_pack("{s:s, s:s, s:s, s:s, s:s}", "url", url, "body", buf_text(&body), "nonce",
		nonce, "proxy", courier_verbs_proxy(m), "reply",
		hex_encode(reply, m->site.card->hub.reply, sizeof(m->site.card->hub.reply)));
	if (!answer)
		return FAULT(-ENOMEM);
	monitor_answer(call, answer);
	return 0;
}

static int
take_over(struct monitor *m, const char *actor)
{
	char object[160], before[SHA256_TEXT_MAX], after[SHA256_TEXT_MAX];
	uint8_t digest[SHA256_LEN];
	int r;

	sha256_of(digest, ed25519_public(m->site.key), ED25519_KEY_LEN);
	(void)sha256_text(before, digest);
	sha256_of(digest, ed25519_public(m->site.next_key), ED25519_KEY_LEN);
	(void)sha256_text(after, digest);
	(void)snprintf(object, sizeof(object), "site key %.23s to %.23s", before, after);
	/* The leaf first: a rotation that the log does not know must not be. */
	r = monitor_leaf(m, "rotate", actor, object, digest, REASON_NONE);
	r = r ?: site_take_next(&m->site, m->dir_fd);
	r = r ?: clone_over(m);
	if (r)
		return r < 0 ? FAULT(r) : r;
	courier_verbs_rekeyed(m);
	monitor_changed(m, MONITOR_CHANGE_RECORD);
	monitor_statement_soon(m);
	return 0;
}

static int
on_finish(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *nonce = monitor_call_text(call, "nonce");
	SCOPED_JSON *asked = NULL;
	unsigned status = 0;
	const void *body;
	size_t len;
	int r;

	(void)arg;
	if (!m->site.next_key)
		return REFUSE(REASON_NOT_FOUND, "rotation", "none is under way");
	if (!nonce) { /* an answer that came as a file */
		r = monitor_load_json(m, ASKED_FILE, ASKED_MAX, &asked);
		if (r)
			return r < 0 ? FAULT(r) : r;
		nonce = json_text(asked, "nonce");
	}
	r = courier_verbs_check_reply(m, call, nonce, &status);
	if (r == 0 && status != 200)
		r = REFUSE(REASON_UNREACHABLE, "rotation", "the hub answered %u", status);
	body = monitor_call_body(call, &len);
	r = r ?: rotate_answer_check(body, len, m->site.site, ed25519_public(m->site.next_key));
	r = r ?: take_over(m, monitor_call_actor(call));
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_answer(call,
		json_pack("{s:s, s:s}", "site", m->site.site, "key", ed25519_public_hex(m->site.key)));
	return 0;
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	(void)arg;
	if (m->site.next_key)
		(void)json_array_append_new(json_object_get(status, "pending"),
			json_pack("{s:s, s:s}", "kind", "rotation", "text",
				"the hub has not answered yet: mainstay enrol --rotate goes on with it"));
}

static const struct monitor_module module = { .name = "rotation", .status = on_status };

int
rotation_init(struct monitor *m)
{
	int r = monitor_add_module(m, &module, NULL);

	r = r ?: monitor_register_verb(m, "rotate.begin", CALL_ROLE_CONTROL, on_begin, NULL);
	return r
		?: monitor_register_verb(m, "rotate.finish", CALL_ROLE_CONTROL | CALL_ROLE_COURIER, on_finish,
			   NULL);
}
