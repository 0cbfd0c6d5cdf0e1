#include "appliance/egress/carrier.h"

#include <errno.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/egress/ack.h"
#include "appliance/loop/loop.h"

enum { CONTACT_EVERY_S = 5, CA_BYTES_MAX = 64 * 1024, VENDOR_MAX = 256 };

#define KEY_NAME "courier.key"
#define CA_NAME  "ca.pem"
#define VENDOR_NAME "vendor" /* whom and as whom what is acknowledged was sent to */

struct carrier {
	sd_event *loop;
	struct paths paths;
	int dir_fd;
	struct ed25519 *key;
	struct ack *ack;
	struct pace pace;
	struct pace_peer hub_peer;
	struct call_link *link;
	bool linked;
	json_t *config;            /* of hello or the last "config" event */
	struct hub_client *hub;
	char proxy[HUB_URL_MAX], ca_file[HUB_URL_MAX]; /* as the hub's client has them */
	struct loop_timer *tick;
	struct loop_timer *apply;  /* a new config waits for the loop's next turn */
	json_t *next_config;
	uint64_t contact_us;
	const char *trouble;       /* that the monitor was told last */
	struct {
		const struct carrier_module *module;
		void *arg;
	} modules[CARRIER_MODULES_MAX];
	size_t n_modules;
};

/* --- what modules ask ---------------------------------------------------------------------------------- */
const struct paths *
carrier_paths(const struct carrier *c)
{
	return &c->paths;
}

int
carrier_dir(const struct carrier *c)
{
	return c->dir_fd;
}

struct ack *
carrier_ack(struct carrier *c)
{
	return c->ack;
}

struct pace *
carrier_pace(struct carrier *c)
{
	return &c->pace;
}

struct pace_peer *
carrier_hub_peer(struct carrier *c)
{
	return &c->hub_peer;
}

struct hub_client *
carrier_hub(struct carrier *c)
{
	return c->hub;
}

const json_t *
carrier_config(const struct carrier *c)
{
	return c->config;
}

sd_event *
carrier_loop(const struct carrier *c)
{
	return c->loop;
}

const char *
carrier_proxy(const struct carrier *c)
{
	return c->proxy;
}

const char *
carrier_ca_file(const struct carrier *c)
{
	return c->ca_file;
}

const char *
carrier_site(const struct carrier *c)
{
	const char *site = json_string_value(json_object_get(c->config, "site"));

	return site ? site : "";
}

bool
carrier_recorded(const struct carrier *c)
{
	return json_is_true(json_object_get(c->config, "record"));
}

bool
carrier_switch_on(const struct carrier *c, enum switch_name which)
{
	const json_t *switches = json_object_get(c->config, "switches");

	return json_is_true(json_object_get(switches, switch_text(which))) &&
		!switch_off_file(&c->paths, which);
}

bool
carrier_any_on(const struct carrier *c)
{
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		if (carrier_switch_on(c, (enum switch_name)i))
			return true;
	return false;
}

int
carrier_call(struct carrier *c, struct call_request *take_call, call_done_fn *done, void *arg)
{
	return call_link_call(c->link, take_call, done, arg);
}

static void
on_contact_told(int r, const json_t *answer, void *arg)
{
	(void)answer;
	(void)arg;
	if (r < 0)
		log_debug("contact not told: %d", r);
}

void
carrier_put_reply(struct call_request *call, const struct hub_reply *reply)
{
	call_param_u64(call, "status", (uint64_t)reply->status);
	call_param(call, "committed", reply->committed_text);
	call_param(call, "content_digest", reply->content_digest);
	call_param(call, "signature_input", reply->signature_input);
	call_param(call, "signature", reply->signature);
	call_param(call, "nonce", reply->nonce);
	call_body(call, reply->body, reply->len);
}

void
carrier_contact(struct carrier *c, const struct hub_reply *reply)
{
	struct call_request *call;

	if (c->contact_us && clock_mono_us() - c->contact_us < CONTACT_EVERY_S * CLOCK_US_PER_S)
		return;
	c->contact_us = clock_mono_us();
	call = call_new("contact");
	carrier_put_reply(call, reply);
	(void)carrier_call(c, call, on_contact_told, c); /* a lost hint is told again in a few seconds */
}

/* What stands between us and the hub is for status: told when it changes. */
static void
tell_trouble(struct carrier *c)
{
	const char *trouble = hub_client_trouble(c->hub);
	struct call_request *call;

	if (strcmp(trouble, c->trouble) == 0)
		return;
	c->trouble = trouble;
	call = call_new("contact");
	call_param(call, "trouble", trouble[0] ? trouble : "none");
	(void)carrier_call(c, call, on_contact_told, c);
}

/* --- the ground: configuration from the monitor ---------------------------------------------------------- */
static void
reset_modules(struct carrier *c)
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
	(void)carrier_call(c, hello, on_hello, c); /* a link lost at once comes up again */
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
	r = r ?: ed25519_save(key, c->dir_fd, KEY_NAME);
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

static uint64_t
floor_of(const json_t *config)
{
	const char *text = json_string_value(json_object_get(config, "floor"));
	uint64_t us = 0;

	return text && clock_parse(&us, text) == 0 ? us : 0;
}

uint64_t
carrier_floor_us(const struct carrier *c)
{
	return floor_of(c->config);
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
	config.floor_us = floor_of(c->config);
	r = meet_vendor(c, reply);
	r = r ?: save_ca(c, &config);
	memcpy(c->proxy, config.proxy, sizeof(c->proxy));
	memcpy(c->ca_file, config.ca_file, sizeof(c->ca_file));
	r = r ?: hub_client_new(&c->hub, c->loop, &config, c->key);
	return r < 0 ? FAULT(r) : r;
}

/* Only from a turn of its own: the old client's callbacks must not be on the stack. */
static void
apply_config(void *arg)
{
	struct carrier *c = arg;
	bool was = enrolled(c->config);
	int r;

	reset_modules(c);
	c->hub = hub_client_free(c->hub);
	pace_back(&c->hub_peer); /* it may be another one, or another way to it */
	json_decref(c->config);
	c->config = STEAL(c->next_config);
	r = was && !enrolled(c->config) ? leave_vendor(c) : build_hub(c);
	if (r < 0)
		log_fault(r, "configuration from the monitor");
}

/* The floor rises with each new freshness statement, in the middle of what modules do: it disturbs nobody. */
static bool
only_the_floor(struct carrier *c, const json_t *config)
{
	SCOPED_JSON *same = json_copy(c->config);

	if (!same || json_object_set_new(same, "floor", json_incref(json_object_get(config, "floor"))) < 0 ||
		!json_equal(config, same))
		return false;
	json_decref(c->config);
	c->config = STEAL(same);
	if (c->hub)
		hub_client_floor(c->hub, floor_of(c->config));
	return true;
}

static void
take_config(struct carrier *c, const json_t *config)
{
	if (json_equal(config, c->next_config ? c->next_config : c->config))
		return;
	if (c->config && !c->next_config && json_object_get(config, "floor") && only_the_floor(c, config))
		return;
	json_decref(c->next_config);
	c->next_config = json_deep_copy(config);
	(void)loop_after(&c->apply, c->loop, 0, apply_config, c);
}

static void
on_hello(int r, const json_t *answer, void *arg)
{
	struct carrier *c = arg;

	if (r == 0) {
		c->linked = true;
		take_config(c, answer);
	} else if (r < 0) {
		log_fault(r, "hello to the monitor");
	}
}

static void
on_up(void *arg)
{
	say_hello(arg);
}

static void
on_down(void *arg)
{
	struct carrier *c = arg;

	c->linked = false;
	c->trouble = ""; /* the next monitor is told anew */
	reset_modules(c);
}

static void
on_event(const char *name, const json_t *json, void *arg)
{
	struct carrier *c = arg;

	if (strcmp(name, "config") == 0) {
		take_config(c, json);
		return;
	}
	/* Left before any hub answered: no configuration tells, but a request with our key may be on a stick. */
	if (strcmp(name, "left") == 0 && !c->next_config && !enrolled(c->config)) {
		int r = leave_vendor(c);

		if (r < 0)
			log_fault(r, "making another key");
	}
	for (size_t i = 0; i < c->n_modules; i++)
		if (c->modules[i].module->event)
			c->modules[i].module->event(c, name, json, c->modules[i].arg);
}

static void
on_tick(void *arg)
{
	struct carrier *c = arg;
	uint64_t now = clock_mono_us();

	(void)loop_after(&c->tick, c->loop, CARRIER_TICK_MS, on_tick, c);
	if (!c->linked || !c->hub || c->next_config)
		return;
	tell_trouble(c);
	for (size_t i = 0; i < c->n_modules; i++)
		if (c->modules[i].module->tick)
			c->modules[i].module->tick(c, now, c->modules[i].arg);
}

/* --- life -------------------------------------------------------------------------------------------------- */
int
carrier_add(struct carrier *c, const struct carrier_module *module, void *take_arg)
{
	if (c->n_modules == CARRIER_MODULES_MAX) {
		if (module->free)
			module->free(take_arg);
		return FAULT(-ENOSPC);
	}
	c->modules[c->n_modules].module = module;
	c->modules[c->n_modules++].arg = take_arg;
	return 0;
}

static const struct call_link_ops link_ops = { .up = on_up, .down = on_down, .event = on_event };

int
carrier_new(struct carrier **ret, sd_event *loop, const struct paths *paths)
{
	SCOPED(carrier_freep) struct carrier *c = calloc(1, sizeof(*c));
	char path[sizeof(paths->run) + 32];
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	c->loop = sd_event_ref(loop);
	c->paths = *paths;
	c->dir_fd = -1;
	c->trouble = "";
	snprintf(path, sizeof(path), "%s/courier", paths->lib);
	r = fs_open_dir(&c->dir_fd, -1, path, 0700);
	r = r ?: ed25519_load_or_make(&c->key, c->dir_fd, KEY_NAME);
	r = r ?: ack_open(&c->ack, c->dir_fd);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	snprintf(path, sizeof(path), "%s/courier.sock", paths->run);
	r = call_link_open(&c->link, loop, path, &link_ops, c);
	r = r ?: loop_after(&c->tick, loop, CARRIER_TICK_MS, on_tick, c);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(c);
	return 0;
}

struct carrier *
carrier_free(struct carrier *c)
{
	if (!c)
		return NULL;
	reset_modules(c);
	for (size_t i = 0; i < c->n_modules; i++)
		if (c->modules[i].module->free)
			c->modules[i].module->free(c->modules[i].arg);
	loop_cancel(c->tick);
	loop_cancel(c->apply);
	call_link_close(c->link);
	hub_client_free(c->hub);
	json_decref(c->config);
	json_decref(c->next_config);
	ack_free(c->ack);
	ed25519_free(c->key);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	sd_event_unref(c->loop);
	free(c);
	return NULL;
}
