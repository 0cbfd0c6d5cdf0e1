#include "appliance/egress/carrier_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"

enum { CA_BYTES_MAX = 64 * 1024, VENDOR_MAX = 256, HELLO_AGAIN_MS = 1000, BUILD_AGAIN_MAX_MS = 60000 };

#define CA_NAME "ca.pem"
#define VENDOR_NAME "vendor" /* whom and as whom what is acknowledged was sent to */

void
carrier_ground_reset(struct carrier *c)
{
	for (size_t i = 0; i < c->n_modules; i++)
		if (c->modules[i].module->reset)
			c->modules[i].module->reset(c, c->modules[i].arg);
}

static void
copy_text(char *out, size_t size, const json_t *obj, const char *name)
{
	const char *text = json_string_value(json_object_get(obj, name));

	snprintf(out, size, "%s", text ? text : "");
}

static void on_hello(int r, const json_t *answer, void *arg);

static void
say_hello(struct carrier *c)
{
	struct call_request *hello = call_new("courier.hello");

	call_param(hello, "key", ed25519_public_hex(c->key));
	if (carrier_call(c, hello, on_hello, c) == -ENOMEM) /* a link lost at once comes up again */
		on_hello(-ENOMEM, NULL, c);
}

static bool
enrolled(const json_t *config)
{
	return json_is_true(json_object_get(config, "enrolled"));
}

/* The site left: nobody is to know the next vendor's courier by the key of this one's. */
static int
leave_vendor(struct carrier *c)
{
	static const char *const files[] = { CA_NAME, "daemon.sent" };
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	int r = ed25519_generate(&key);

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && r == 0; i++)
		if (unlinkat(c->dir_fd, files[i], 0) < 0 && errno != ENOENT)
			r = -errno;
	r = r ?: ed25519_save(key, c->dir_fd, CARRIER_KEY_NAME);
	if (r < 0)
		return FAULT(r);
	ed25519_free(c->key);
	c->key = STEAL(key);
	say_hello(c);
	return 0;
}

/* The customer's CA comes as PEM text and is kept beside our key, where libcurl can read it. */
static int
save_ca(struct carrier *c, struct hub_config *config)
{
	const char *pem = json_string_value(json_object_get(c->config, "ca"));
	int r;

	if (!pem || !pem[0])
		return 0;
	if (strlen(pem) > CA_BYTES_MAX)
		return FAULT(-EMSGSIZE);
	r = fs_replace(c->dir_fd, CA_NAME, pem, strlen(pem), 0600);
	snprintf(config->ca_file, sizeof(config->ca_file), "%s/courier/%s", c->paths.lib, CA_NAME);
	return r;
}

uint64_t
carrier_ground_floor_us(const json_t *config)
{
	const char *text = json_string_value(json_object_get(config, "floor"));
	uint64_t us = 0;

	return text && clock_parse(&us, text) == 0 ? us : 0;
}

/* What was collected for one vendor is not shipped to the next. */
static int
meet_vendor(struct carrier *c, const char *reply)
{
	SCOPED(buf_done) struct buf kept = BUF_MAX(VENDOR_MAX);
	char now[VENDOR_MAX];
	int r = fs_read(c->dir_fd, VENDOR_NAME, VENDOR_MAX, &kept);
	bool other = r == 0;

	(void)snprintf(now, sizeof(now), "%s %s\n", reply, carrier_site(c));
	if (other && strcmp(buf_text(&kept), now) == 0)
		return 0;
	for (size_t i = 0; other && i < c->n_modules && r == 0; i++)
		if (c->modules[i].module->part)
			r = c->modules[i].module->part(c, c->modules[i].arg);
	if (r < 0)
		return FAULT(r);
	return FAULT(fs_replace(c->dir_fd, VENDOR_NAME, now, strlen(now), 0600));
}

static int
build_hub(struct carrier *c)
{
	struct hub_config config = { 0 };
	const json_t *hub = json_object_get(c->config, "hub");
	const char *reply = json_string_value(json_object_get(hub, "reply"));
	int r;

	if (!enrolled(c->config))
		return 0;
	copy_text(config.url, sizeof(config.url), hub, "url");
	copy_text(config.proxy, sizeof(config.proxy), c->config, "proxy");
	if (!reply || !hex_decode(config.reply_key, sizeof(config.reply_key), reply))
		return FAULT(-EPROTO);
	config.floor_us = carrier_ground_floor_us(c->config);
	r = meet_vendor(c, reply);
	r = r ?: save_ca(c, &config);
	memcpy(c->proxy, config.proxy, sizeof(c->proxy));
	memcpy(c->ca_file, config.ca_file, sizeof(c->ca_file));
	r = r ?: hub_client_new(&c->hub, c->loop, &config, c->key);
	return r < 0 ? FAULT(r) : r;
}

static void on_apply(void *arg);

/* Without a hub nothing leaves, and who left is not to be known by the former key: what failed, for want of memory or of
 * room, is tried again. */
static void
build(struct carrier *c)
{
	int r = c->leaving ? leave_vendor(c) : 0;

	c->leaving = c->leaving && r != 0;
	r = r ?: build_hub(c);
	if (r == 0) {
		c->unbuilt = 0;
		return;
	}
	if (r < 0)
		log_fault(r, "configuration from the monitor");
	r = loop_after(&c->apply, c->loop,
		clock_backoff_us(c->unbuilt++, HELLO_AGAIN_MS * CLOCK_US_PER_MS, BUILD_AGAIN_MAX_MS * CLOCK_US_PER_MS) /
			CLOCK_US_PER_MS,
		on_apply, c);
	if (r)
		log_fault(r, "configuration from the monitor");
}

/* Only from a turn of its own: the old client's callbacks must not be on the stack. */
static void
apply_config(struct carrier *c)
{
	bool was = enrolled(c->config);

	carrier_ground_reset(c);
	c->hub = hub_client_free(c->hub);
	pace_back(&c->hub_peer); /* it may be another one, or another way to it */
	json_decref(c->config);
	c->config = STEAL(c->next_config);
	c->unbuilt = 0;
	c->leaving = c->leaving || (was && !enrolled(c->config));
	build(c);
}

/* The floor rises with each new freshness statement, in the middle of what modules do: it disturbs nobody. */
static bool
only_the_floor(struct carrier *c, const json_t *config)
{
	SCOPED_JSON *same = json_copy_whole(c->config, JSON_SHALLOW);

	if (!same || json_object_set_new(same, "floor", json_incref(json_object_get(config, "floor"))) < 0 ||
		!json_equal(config, same))
		return false;
	json_decref(c->config);
	c->config = STEAL(same);
	if (c->hub)
		hub_client_floor(c->hub, carrier_ground_floor_us(c->config));
	return true;
}

static void
on_apply(void *arg)
{
	struct carrier *c = arg;
	bool leaving = c->leaving;

	if (c->next_config) {
		apply_config(c);
		return;
	}
	if (leaving || (enrolled(c->config) && !c->hub))
		build(c);
	if (!leaving) /* who has left said it, with the other key */
		say_hello(c);
}

/* What could not be taken for want of memory the monitor says once more. */
static void
apply_later(struct carrier *c)
{
	int r = loop_after(&c->apply, c->loop, c->next_config ? 0 : HELLO_AGAIN_MS, on_apply, c);

	if (r)
		log_fault(r, "configuration from the monitor");
}

void
carrier_ground_take(struct carrier *c, const json_t *config)
{
	if (json_equal(config, c->next_config ? c->next_config : c->config))
		return;
	if (c->config && !c->next_config && json_object_get(config, "floor") && only_the_floor(c, config))
		return;
	json_decref(c->next_config);
	c->next_config = json_copy_whole(config, JSON_DEEP);
	if (!c->next_config)
		log_fault(FAULT(-ENOMEM), "configuration from the monitor");
	apply_later(c);
}

static void
on_hello(int r, const json_t *answer, void *arg)
{
	struct carrier *c = arg;

	if (r == 0) {
		c->linked = true;
		carrier_ground_take(c, answer);
	} else if (r < 0) {
		log_fault(r, "hello to the monitor");
		if (r == -ENOMEM) /* a link that was lost says it when it is up again */
			apply_later(c);
	}
}

void
carrier_ground_up(void *arg)
{
	say_hello(arg);
}

void
carrier_ground_down(void *arg)
{
	struct carrier *c = arg;

	c->linked = false;
	c->trouble = ""; /* the next monitor is told anew */
	carrier_ground_reset(c);
}

void
carrier_ground_left(struct carrier *c)
{
	if (c->next_config || enrolled(c->config))
		return;
	c->leaving = true;
	build(c);
}
