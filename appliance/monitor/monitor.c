#include "appliance/monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/alarms.h"
#include "appliance/monitor/audit_verbs.h"
#include "appliance/monitor/calls.h"
#include "appliance/monitor/ceiling.h"
#include "appliance/monitor/clone.h"
#include "appliance/monitor/collect_verbs.h"
#include "appliance/monitor/cosign.h"
#include "appliance/monitor/courier_need.h"
#include "appliance/monitor/courier_verbs.h"
#include "appliance/monitor/dial_verb.h"
#include "appliance/monitor/enrolment.h"
#include "appliance/monitor/erase_verb.h"
#include "appliance/monitor/export_verb.h"
#include "appliance/monitor/freshness.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/leaf.h"
#include "appliance/monitor/metadata.h"
#include "appliance/monitor/mutes.h"
#include "appliance/monitor/notify.h"
#include "appliance/monitor/outbox.h"
#include "appliance/monitor/outbox_verbs.h"
#include "appliance/monitor/policy_verbs.h"
#include "appliance/monitor/rotation.h"
#include "appliance/monitor/statement.h"
#include "appliance/monitor/status.h"
#include "appliance/monitor/switch_verbs.h"
#include "appliance/monitor/witnesses.h"
#include "appliance/policy/policy.h"
#include "appliance/tuf/people.h"

enum { TICK_MS = 1000 };

/* --- life ---------------------------------------------------------------------------------------- */
static int
open_folders(struct monitor *m)
{
	int r = fs_open_dir(&m->lib_fd, AT_FDCWD, m->paths.lib, 0711);

	r = r ?: fs_open_dir(&m->run_fd, AT_FDCWD, m->paths.run, 0711);
	r = r ?: fs_open_dir(&m->dir_fd, m->lib_fd, "monitor", 0700);
	return FAULT(r);
}

/* What it was writing when it was killed.  Of a service's folders those that it writes itself. */
static void
sweep(struct monitor *m)
{
	static const struct {
		const char *folder; /* below lib/ */
		unsigned depth;
	} swept[] = { { ".", 0 }, { "monitor", 2 }, { "audit", 0 }, { "services", 0 }, { "store", 0 } };
	SCOPED(scope_close) int etc = open(m->paths.etc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (etc >= 0)
		(void)fs_sweep(etc, 0);
	for (size_t i = 0; i < ARRAY_LEN(swept); i++) {
		SCOPED(scope_close) int fd = openat(m->lib_fd, swept[i].folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd >= 0)
			(void)fs_sweep(fd, swept[i].depth);
	}
}

static int
open_audit(struct monitor *m)
{
	SCOPED(scope_close) int fd = -1;
	const char *site = m->site.state == SITE_STATE_ENROLLED ? m->site.site : NULL;
	int r = fs_open_dir(&fd, m->lib_fd, "audit", 0700);

	r = r ?: audit_open(&m->audit, fd, site, m->site.audit_key);
	return r < 0 ? FAULT(r) : r;
}

static int
open_state(struct monitor *m)
{
	gid_t readers = m->id.separate ? m->id.readers : (gid_t)-1;
	int r = site_open(&m->site, m->dir_fd);

	r = r ?: open_audit(m);
	if (r)
		return r;
	r = switch_load(&m->switches, m->dir_fd);
	if (r > 0) { /* who wrote no switches wants none on */
		m->switches = (struct switch_record){ 0 };
		r = 0;
	}
	r = r ?: floor_load(&m->floor, m->dir_fd);
	r = r ?: ceiling_open(m);
	r = r ?: leaf_open(m);
	r = r ?: outbox_open(&m->outbox, m->lib_fd, readers);
	r = r ?: epoch_open(&m->epoch, m->run_fd, m->lib_fd, audit_size(m->audit));
	if (r == 0 && m->epoch.renewed)
		log_info("epoch %s", m->epoch.text);
	return r;
}

int
monitor_open(struct monitor **ret, const struct monitor_setup *setup)
{
	SCOPED(monitor_freep) struct monitor *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return FAULT(-ENOMEM);
	m->lib_fd = m->dir_fd = m->run_fd = -1;
	m->loop = sd_event_ref(setup->loop);
	m->paths = *setup->paths;
	m->spawner = setup->spawner;
	m->id = *setup->identity;
	m->judge_ms = setup->judge_ms ? setup->judge_ms : JUDGE_TIME_S * 1000;
	r = open_folders(m);
	if (r == 0)
		sweep(m);
	r = r ?: calls_new(&m->calls, m);
	r = r ?: judge_queue_new(&m->judge, m);
	r = r ?: notify_new(&m->notify, m);
	r = r ?: open_state(m);
	r = r ?: status_init(m);
	r = r ?: switch_verbs_init(m);
	r = r ?: policy_verbs_init(m);
	r = r ?: audit_verbs_init(m);
	r = r ?: export_verb_init(m);
	r = r ?: erase_verb_init(m);
	r = r ?: courier_verbs_init(m);
	r = r ?: courier_need_init(m);
	r = r ?: outbox_verbs_init(m);
	r = r ?: enrolment_init(m);
	r = r ?: clone_init(m);
	r = r ?: rotation_init(m);
	r = r ?: statement_init(m);
	r = r ?: witnesses_init(m);
	r = r ?: cosign_init(m);
	r = r ?: metadata_init(m);
	r = r ?: freshness_init(m);
	r = r ?: mutes_init(m);
	r = r ?: alarms_init(m);
	r = r ?: collect_verbs_init(m);
	r = r ?: dial_verb_init(m);
	if (r)
		return r < 0 ? FAULT(r) : r;
	switch_verbs_follow(m);
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		m->seen_on[i] = monitor_switch_on(m, (enum switch_name)i);
	*ret = STEAL(m);
	return 0;
}

/* Off files come and go without asking us. */
static void
look_at_switches(struct monitor *m)
{
	for (unsigned i = 0; i < SWITCH_MAX; i++) {
		bool on = monitor_switch_on(m, (enum switch_name)i);

		if (on == m->seen_on[i])
			continue;
		m->seen_on[i] = on;
		monitor_changed(m, MONITOR_CHANGE_SWITCH);
	}
}

static void
look_at_clocks(struct monitor *m)
{
	bool jumped;

	if (epoch_look(&m->epoch, m->run_fd, &jumped) < 0)
		log_warning("the epoch's file cannot be written");
	if (!jumped)
		return;
	log_warning("the clock jumped; requests made before it wait for a permit; epoch %s",
		m->epoch.text);
	m->offset_at_us = 0; /* what the hub's clock was ahead or behind of is gone */
	monitor_changed(m, MONITOR_CHANGE_CLOCK);
	monitor_statement_soon(m);
}

static void
on_tick(void *arg)
{
	struct monitor *m = arg;
	uint64_t now = monitor_now_us(m);

	switch_verbs_follow(m);
	look_at_switches(m);
	look_at_clocks(m);
	monitor_look_at_doubt(m);
	for (size_t i = 0; i < m->n_modules; i++)
		if (m->modules[i].module->tick)
			m->modules[i].module->tick(m, now, m->modules[i].arg);
	leaf_look(m);
	if (leaf_flush(m, false) < 0)
		log_warning("what was refused cannot be written down");
	if (epoch_advance(&m->epoch, m->run_fd, audit_size(m->audit)) < 0)
		log_warning("the epoch's file cannot be written");
	if (loop_after(&m->tick, m->loop, TICK_MS, on_tick, m) < 0)
		(void)sd_event_exit(m->loop,
			-ENOMEM); /* without its tick it would only seem alive */
}

int
monitor_start(struct monitor *m)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_modules; i++)
		if (m->modules[i].module->start)
			r = m->modules[i].module->start(m, m->modules[i].arg);
	r = r ?: calls_listen(m);
	r = r ?: loop_after(&m->tick, m->loop, TICK_MS, on_tick, m);
	return r < 0 ? FAULT(r) : r;
}

struct monitor *
monitor_free(struct monitor *m)
{
	if (!m)
		return NULL;
	m->tick = loop_cancel(m->tick);
	m->tell = loop_cancel(m->tell);
	if (m->audit && leaf_flush(m, true) < 0)
		log_warning("what was refused cannot be written down");
	m->judge = judge_queue_free(m->judge);
	m->notify = notify_free(m->notify);
	while (m->n_modules > 0) {
		m->n_modules--;
		if (m->modules[m->n_modules].module->free)
			m->modules[m->n_modules].module->free(m->modules[m->n_modules].arg);
	}
	m->calls = calls_free(m->calls);
	m->outbox = outbox_close(m->outbox);
	if (m->audit)
		copies_done(&m->copies);
	m->commit = loop_cancel(m->commit);
	m->audit = audit_free(m->audit);
	m->policy = policy_free(m->policy);
	m->people = people_free(m->people);
	witnesses_done(m);
	json_decref(m->forked);
	site_done(&m->site);
	scope_close(&m->dir_fd);
	scope_close(&m->run_fd);
	scope_close(&m->lib_fd);
	m->loop = sd_event_unref(m->loop);
	free(m);
	return NULL;
}

/* --- what everybody may ask ---------------------------------------------------------------------- */
sd_event *
monitor_loop(struct monitor *m)
{
	return m->loop;
}

const struct paths *
monitor_paths(const struct monitor *m)
{
	return &m->paths;
}

int
monitor_dir(const struct monitor *m)
{
	return m->dir_fd;
}

const struct identity *
monitor_identity(const struct monitor *m)
{
	return &m->id;
}

bool
monitor_enrolled(const struct monitor *m)
{
	return m->site.state == SITE_STATE_ENROLLED;
}

bool
monitor_recorded(const struct monitor *m)
{
	return monitor_enrolled(m) && m->site.record;
}

const char *
monitor_site(const struct monitor *m)
{
	return monitor_enrolled(m) ? m->site.site : "";
}

const char *
monitor_customer(const struct monitor *m)
{
	return monitor_enrolled(m) ? m->site.customer : "";
}

const char *
monitor_epoch(const struct monitor *m)
{
	return m->epoch.text;
}

struct spawner *
monitor_spawner(struct monitor *m)
{
	return m->spawner;
}

const struct policy *
monitor_policy(const struct monitor *m)
{
	return m->policy;
}

const struct people *
monitor_people(const struct monitor *m)
{
	return m->people;
}

bool
monitor_switch_on(const struct monitor *m, enum switch_name which)
{
	return switch_is_on(&m->switches, &m->paths, which);
}

const json_t *
monitor_hub(const struct monitor *m)
{
	return monitor_enrolled(m) ? m->site.card->facts : NULL;
}

void
monitor_set_core(struct monitor *m, const char *hex)
{
	(void)snprintf(m->core_release, sizeof(m->core_release), "%s", hex);
}

/* --- verbs and modules --------------------------------------------------------------------------- */
int
monitor_register_verb(struct monitor *m, const char *verb, unsigned roles, monitor_verb_fn *fn,
	void *arg)
{
	if (m->n_verbs == MONITOR_VERBS_MAX)
		return FAULT(-ENOBUFS);
	m->verbs[m->n_verbs++] =
		(struct monitor_verb){ .verb = verb, .roles = roles, .fn = fn, .arg = arg };
	return 0;
}

int
monitor_add_module(struct monitor *m, const struct monitor_module *module, void *take_arg)
{
	if (m->n_modules == MONITOR_MODULES_MAX) {
		if (module->free)
			module->free(take_arg);
		return FAULT(-ENOBUFS);
	}
	m->modules[m->n_modules].module = module;
	m->modules[m->n_modules++].arg = take_arg;
	return 0;
}

static void
on_tell(void *arg)
{
	struct monitor *m = arg;
	unsigned changes = m->changes;

	m->changes = 0;
	for (size_t i = 0; i < m->n_modules; i++)
		if (m->modules[i].module->changed)
			m->modules[i].module->changed(m, changes, m->modules[i].arg);
}

void
monitor_changed(struct monitor *m, unsigned changes)
{
	m->changes |= changes;
	if (loop_after(&m->tell, m->loop, 0, on_tell, m) < 0)
		log_warning("modules could not be told of a change");
}

void
monitor_set_people(struct monitor *m, struct people *take_people)
{
	m->people = people_free(m->people);
	m->people = take_people;
	monitor_changed(m, MONITOR_CHANGE_PEOPLE);
}

/* --- files --------------------------------------------------------------------------------------- */
int
monitor_save_json(const struct monitor *m, const char *name, const json_t *doc)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(POLICY_BYTES_MAX);
	int r = json_canonical(&b, doc);

	return FAULT(r ?: fs_replace(m->dir_fd, name, b.data, b.len, 0600));
}

int
monitor_load_json(const struct monitor *m, const char *name, size_t max, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(max);
	int r = fs_read(m->dir_fd, name, max, &b);

	if (r == REASON_NOT_FOUND)
		return r;
	if (r > 0)
		return REFUSE(r, name, "cannot be read");
	return r < 0 ? FAULT(r) : json_read_canonical(ret, b.data, b.len, max, name);
}
