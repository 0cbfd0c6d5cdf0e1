/* What a courier stands on in a test: a state folder, a peer over TLS (the hub, or a witness), and a monitor that
 * the test plays: its on_frame() answers. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/ledger.h"
#include "appliance/loop/loop.h"
#include "appliance/record/record.h"
#include "tests/fakes/https_hub.h"
#include "tests/fakes/turn.h"

enum { TURNS = 4000 /* forty seconds of theirs, and some four of ours: what has not come then does not come */ };

static struct scratch scratch;
static struct paths paths;
static struct https_hub peer;
static sd_event *loop;
static struct frame_server *server;
static struct frame_conn *conn;
static struct carrier *carrier;
static int outbox_fd;

/* --- the monitor ------------------------------------------------------------------------------------- */
static void on_frame(struct frame_conn *c, struct frame *f, void *arg);

/* What every hello is answered with. */
static json_t *
ground_config(bool is_enrolled, bool recorded, const char *site, bool telemetry_on, bool remote_on)
{
	static char ca[8192];
	SCOPED(buf_done) struct buf b = BUF_MAX(sizeof(ca));
	json_t *doc;

	scratch_read(&scratch, "ca.pem", &b);
	doc = json_pack("{s:b, s:b, s:s, s:s, s:{s:b, s:b, s:b}, s:{s:s, s:s}, s:s, s:s}",
		"enrolled", is_enrolled, "record", recorded, "site", site, "customer", "acme", "switches",
		"telemetry", telemetry_on, "updates", 0, "remote", remote_on, "hub", "url", peer.url,
		"reply", ed25519_public_hex(peer.key), "proxy", "", "ca", buf_text(&b));
	assert_non_null(doc);
	return doc;
}

static void
send_json(enum call_type type, uint32_t id, const char *verb, json_t *take_doc)
{
	SCOPED_JSON *doc = take_doc;
	SCOPED(scope_free) char *text = json_dumps(doc, JSON_COMPACT);
	struct frame_out out;

	frame_begin(&out, (uint16_t)type, id);
	if (verb)
		frame_put_text(&out, CALL_TAG_VERB, verb);
	frame_put_text(&out, CALL_TAG_JSON, text);
	assert_int_equal(frame_conn_send(conn, &out), 0);
	frame_out_done(&out);
}

/* The parameter's value, "" where there is none. */
__attribute__((unused)) static const char *
param(const struct frame *f, const char *name)
{
	for (size_t i = 0; i + 1 < f->n_fields; i++)
		if (f->fields[i].tag == CALL_TAG_NAME &&
			strcmp((const char *)f->fields[i].data, name) == 0)
			return (const char *)f->fields[i + 1].data;
	return "";
}

static void
on_closed(struct frame_conn *c, int why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
	conn = frame_conn_close(conn);
}

static void
on_accept(int fd, const struct frame_peer *who, void *arg)
{
	static const struct frame_conn_ops ops = { .frame = on_frame, .closed = on_closed };

	(void)who;
	(void)arg;
	conn = frame_conn_close(conn);
	assert_int_equal(frame_conn_open(&conn, loop, fd, &ops, NULL), 0);
}

#define UNTIL(what)                                                                                \
	do {                                                                                       \
		for (unsigned turn_ = 0; !(what) && turn_ < TURNS; turn_++)                        \
			assert_true(turn_beside(loop, 10000) >= 0);                               \
		assert_true(what);                                                                 \
	} while (0)

__attribute__((unused)) static void
settle(unsigned ms)
{
	uint64_t end = clock_mono_us() + ms * CLOCK_US_PER_MS;

	while (clock_mono_us() < end)
		assert_true(turn_beside(loop, 10000) >= 0);
}

/* --- the outbox -------------------------------------------------------------------------------------- */
__attribute__((unused)) static uint64_t
ground_put(struct record *r, const char *class, const char *path, const char *type, const char *body)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct ledger_entry e = {
		.time_us = 1, .body = (const uint8_t *)body, .body_len = strlen(body)
	};
	uint64_t sequence = 0;

	(void)snprintf(e.class_name, sizeof(e.class_name), "%s", class);
	(void)snprintf(e.path, sizeof(e.path), "%s", path);
	(void)snprintf(e.content_type, sizeof(e.content_type), "%s", type);
	assert_int_equal(ledger_encode(&b, &e), 0);
	assert_int_equal(record_append(r, b.data, b.len, &sequence), 0);
	return sequence;
}

/* --- from set_up and tear_down ----------------------------------------------------------------------- */
/* Folders, peer, loop and the monitor's socket; no courier yet. */
static void
ground_make(void)
{
	char path[200];
	int fd = -1;

	scratch_make(&scratch);
	https_hub_start(&peer, &scratch, "127.0.0.1");
	assert_int_equal(fs_paths(&paths, scratch.path), 0);
	assert_int_equal(mkdir(paths.lib, 0700), 0);
	assert_int_equal(mkdir(paths.run, 0700), 0);
	assert_int_equal(mkdir(paths.etc, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/outbox", paths.lib);
	assert_int_equal(fs_open_dir(&outbox_fd, -1, path, 0700), 0);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/courier.sock", paths.run);
	assert_int_equal(frame_listen(&fd, path, 0600), 0);
	assert_int_equal(frame_server_open(&server, loop, fd, on_accept, NULL), 0);
}

/* The courier and the monitor; records may be closed between this and ground_remove(). */
static void
ground_close(void)
{
	clock_real();
	carrier = carrier_free(carrier);
	conn = frame_conn_close(conn);
	server = frame_server_close(server);
}

static void
ground_remove(void)
{
	(void)close(outbox_fd);
	loop = sd_event_unref(loop);
	https_hub_stop(&peer);
	scratch_remove(&scratch);
}
