#include "appliance/egress/carrier.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/carrier_room.h"
#include "appliance/egress/notice.h"
#include "appliance/loop/loop.h"

enum { CONTACT_EVERY_S = 5 };

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

struct notice *
carrier_notice(struct carrier *c)
{
	return c->notice;
}

bool
carrier_is_up(const struct carrier *c)
{
	return c->linked && c->hub && !c->next_config;
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

uint64_t
carrier_floor_us(const struct carrier *c)
{
	return carrier_ground_floor_us(c->config);
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

static void
on_event(const char *name, const json_t *json, void *arg)
{
	struct carrier *c = arg;

	if (strcmp(name, "config") == 0) {
		carrier_ground_take(c, json);
		return;
	}
	if (strcmp(name, "left") == 0)
		carrier_ground_left(c);
	for (size_t i = 0; i < c->n_modules; i++)
		if (c->modules[i].module->event)
			c->modules[i].module->event(c, name, json, c->modules[i].arg);
}

/* Places of records that went fast; what is not written is tried again. */
static void
flush_places(struct carrier *c)
{
	int r = c->ack ? ack_flush(c->ack) : 0;

	if (r < 0)
		log_fault(r, "remembering acknowledgements");
}

static void
on_tick(void *arg)
{
	struct carrier *c = arg;
	uint64_t now = clock_mono_us();

	(void)loop_after(&c->tick, c->loop, CARRIER_TICK_MS, on_tick, c);
	flush_places(c);
	if (!carrier_is_up(c))
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

static const struct call_link_ops link_ops = { .up = carrier_ground_up, .down = carrier_ground_down, .event = on_event };

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
	r = r ?: fs_sweep(c->dir_fd, 0);
	r = r ?: ed25519_load_or_make(&c->key, c->dir_fd, CARRIER_KEY_NAME);
	r = r ?: ack_open(&c->ack, c->dir_fd);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	snprintf(path, sizeof(path), "%s/courier.sock", paths->run);
	r = call_link_open(&c->link, loop, path, &link_ops, c);
	r = r ?: loop_after(&c->tick, loop, CARRIER_TICK_MS, on_tick, c);
	if (r < 0)
		return FAULT(r);
	r = notice_new(&c->notice, loop);
	if (r < 0) /* then each tick looks */
		log_fault(r, "hearing what is written");
	*ret = STEAL(c);
	return 0;
}

struct carrier *
carrier_free(struct carrier *c)
{
	if (!c)
		return NULL;
	carrier_ground_reset(c);
	for (size_t i = 0; i < c->n_modules; i++)
		if (c->modules[i].module->free)
			c->modules[i].module->free(c->modules[i].arg);
	notice_free(c->notice);
	loop_cancel(c->tick);
	loop_cancel(c->apply);
	call_link_close(c->link);
	hub_client_free(c->hub);
	json_decref(c->config);
	json_decref(c->next_config);
	flush_places(c);
	ack_free(c->ack);
	ed25519_free(c->key);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	sd_event_unref(c->loop);
	free(c);
	return NULL;
}
