/* Turning knobs:
 *
 *	service.set  service [diff=true] set=KNOB=VALUE...  an empty VALUE gives the default back
 *		{"service","difference","config":[{"path","difference"}],"needs","restarted","state","health"}
 *
 * needs: nothing | next-start | reload | restart.  What the change needs is done, and where the service is then not
 * healthy, cluster.yaml and the configuration go back to what they were and the call is refused (state-moved).
 *
 * lib/services/NAME/set holds, from before cluster.yaml changes until the service is healthy with it, the SHA-256 of
 * its new text (64 hex digits, a newline) and its former text: a monitor that finds it at its start does the rest of
 * the change, or its undoing; but where somebody wrote the file since, nothing is undone.  While the change is under way the
 * former file itself stays beside the new one, for on a full disk its text could not be written again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/yaml.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/service_set_room.h"
#include "appliance/service/definition.h"
#include "appliance/trust/sha256.h"

#define JOURNAL "set"
#define FORMER FS_PASSING "cluster.yaml" /* swept at the monitor's start, as the journal has its text */
enum { JOURNAL_MAX = YAML_BYTES_MAX + 2 * SHA256_LEN + 1 };

static const char *const needs_text[] = {
	[SERVICE_SET_NOTHING] = "nothing",
	[SERVICE_SET_NEXT_START] = "next-start",
	[SERVICE_SET_RELOAD] = "reload",
	[SERVICE_SET_RESTART] = "restart",
};

static struct service_set *
set_free(struct service_set *s)
{
	if (s) {
		buf_done(&s->old);
		buf_done(&s->new);
		free(s->difference);
		json_decref(s->configs);
	}
	free(s);
	return NULL;
}
SCOPED_DESTRUCTOR(struct service_set, set_free)

static struct service_set *
set_new(struct monitor *m, struct monitor_call *call, const char *service)
{
	struct service_set *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->m = m;
	s->call = call;
	s->old = BUF_MAX(YAML_BYTES_MAX);
	s->new = BUF_MAX(YAML_BYTES_MAX);
	(void)snprintf(s->service, sizeof(s->service), "%s", service);
	return s;
}

/* --- the journal --------------------------------------------------------------------------------- */
static int
open_folder(const struct service_set *s, int *ret_fd)
{
	char path[sizeof(s->m->paths.lib) + SERVICES_NAME_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s/services/%s", s->m->paths.lib, s->service);
	return fs_open_dir(ret_fd, AT_FDCWD, path, 0755);
}

static void
digest_of(char hex[2 * SHA256_LEN + 1], const struct buf *text)
{
	uint8_t digest[SHA256_LEN];

	sha256_of(digest, buf_text(text), text->len);
	hex_encode(hex, digest, sizeof(digest));
}

static int
journal_write(const struct service_set *s)
{
	SCOPED(scope_close) int dir = -1;
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_MAX);
	char hex[2 * SHA256_LEN + 1];
	int r = open_folder(s, &dir);

	digest_of(hex, &s->new);
	buf_printf(&b, "%s\n", hex);
	buf_put(&b, s->old.data, s->old.len);
	r = r ?: buf_error(&b);
	return FAULT(r ?: fs_replace(dir, JOURNAL, b.data, b.len, 0600));
}

/* The former text into s->old; false where there is no journal, or it is none of s->new. */
static bool
journal_read(struct service_set *s)
{
	SCOPED(scope_close) int dir = -1;
	SCOPED(buf_done) struct buf b = BUF_MAX(JOURNAL_MAX);
	char hex[2 * SHA256_LEN + 1];

	if (open_folder(s, &dir) != 0 || fs_read(dir, JOURNAL, b.max, &b) != 0)
		return false;
	digest_of(hex, &s->new);
	if (b.len < sizeof(hex) || strncmp(buf_text(&b), hex, sizeof(hex) - 1) != 0)
		return false;
	buf_put(&s->old, b.data + sizeof(hex), b.len - sizeof(hex));
	return buf_error(&s->old) == 0;
}

static void
journal_remove(const struct service_set *s)
{
	SCOPED(scope_close) int dir = -1;

	/* One that stays is done once more at the next start: the same change, to the same end. */
	if (open_folder(s, &dir) == 0 && unlinkat(dir, JOURNAL, 0) == 0)
		(void)fs_sync_dir(dir);
}

/* --- the former file ------------------------------------------------------------------------------ */
static int
keep_former(int etc)
{
	(void)unlinkat(etc, FORMER, 0);
	if (linkat(etc, "cluster.yaml", etc, FORMER, 0) < 0 && (errno == ENOSPC || errno == EDQUOT))
		return FAULT(-errno);
	return 0; /* where files have one name each, it is written again */
}

static int
put_former_back(const struct service_set *s, int etc)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(YAML_BYTES_MAX);

	/* An editor may have written into it. */
	if (fs_read(etc, FORMER, b.max, &b) == 0 && b.len == s->old.len && memcmp(b.data, s->old.data, b.len) == 0 &&
		renameat(etc, FORMER, etc, "cluster.yaml") == 0)
		return FAULT(fs_sync_dir(etc));
	return FAULT(fs_replace(etc, "cluster.yaml", buf_text(&s->old), s->old.len, 0644));
}

static void
forget_former(const struct service_set *s)
{
	SCOPED(scope_close) int etc = -1;

	if (fs_open_dir(&etc, AT_FDCWD, s->m->paths.etc, 0755) == 0)
		(void)unlinkat(etc, FORMER, 0);
}

/* --- steps --------------------------------------------------------------------------------------- */
static json_t *
answer_of(const struct service_set *s, const struct services_state *is)
{
	return json_pack("{s:s, s:s, s:O, s:s, s:b, s:s, s:s}", "service", s->service, "difference", s->difference,
		"config", s->configs, "needs", needs_text[s->needs], "restarted", s->restarted, "state", is->state,
		"health", is->health);
}

static void
finish(struct service_set *s, int r)
{
	struct services_state state = { .state = "stopped", .health = "unknown" };

	if (s->needs > SERVICE_SET_NEXT_START)
		journal_remove(s);
	forget_former(s);
	s->m->services->setting = false;
	(void)services_find(s->m, s->service, &state);
	if (s->call)
		monitor_answer_result(s->call, r, answer_of(s, &state));
	else if (r < 0)
		log_fault(r, "taking up knobs");
	set_free(s);
}

static void
on_back(int r, void *arg)
{
	struct service_set *s = arg;
	char object[SERVICES_NAME_MAX + 16];

	(void)snprintf(object, sizeof(object), "%s set", s->service);
	if (monitor_leaf(s->m, "service", s->call ? monitor_call_actor(s->call) : NULL, object, NULL,
		    REASON_STATE_MOVED) < 0)
		log_fault(-EIO, "leaf of knobs that went back");
	if (r < 0)
		log_fault(r, "taking up the former knobs");
	if (s->r < 0)
		r = s->r;
	else if (r)
		r = REFUSE(REASON_STATE_MOVED, s->service,
			"it was not healthy with the new knobs (%.160s), and not with the former ones "
			"either (%.160s): cluster.yaml is as before; see `mainstay service logs %s`",
			s->why.text, r < 0 ? "a fault; see the log of mainstayd" : refuse_last()->text, s->service);
	else
		r = REFUSE(REASON_STATE_MOVED, s->service,
			"it was not healthy with the new knobs (%.400s): cluster.yaml and its "
			"configuration are as before, and with them it runs as it did",
			s->why.text);
	finish(s, r);
}

static void
on_back_reloaded(int r, void *arg)
{
	struct service_set *s = arg;

	if (r) {
		r = services_restart(s->m, s->service, on_back, s);
		if (r == 0)
			return;
	}
	on_back(r, s);
}

/* What only refused to take the new ones up goes on without a stop: it may have taken up some of them, and is told the
 * former ones in the same way.  So is one that could not be looked at: where it does not run, it is started next. */
static void
on_back_read(int r, void *arg)
{
	struct services_state state = { 0 };
	struct service_set *s = arg;
	bool spared = s->needs == SERVICE_SET_RELOAD && services_find(s->m, s->service, &state) &&
		(state.fault < 0 || (!strcmp(state.state, "running") && strcmp(state.health, "failing") != 0));

	r = r ?: spared ? services_take_up(s->m, s->service, on_back_reloaded, s)
			   : services_restart(s->m, s->service, on_back, s);
	if (r)
		on_back(r, s);
}

/* The former text again, unless somebody wrote the file since: then it is theirs. */
static int
write_back(struct service_set *s)
{
	SCOPED(buf_done) struct buf now = BUF_MAX(YAML_BYTES_MAX);
	SCOPED(scope_close) int etc = -1;
	int r = service_verbs_text(s->m, &etc, &now);

	if (r)
		return r;
	if (now.len != s->new.len || memcmp(buf_text(&now), buf_text(&s->new), now.len) != 0)
		return REFUSE(REASON_STATE_MOVED, "cluster.yaml",
			"was written again while %s took up its knobs: it stays as it is", s->service);
	return put_former_back(s, etc);
}

/* For r, the former text; then runs once that is read. */
static void
undo(struct service_set *s, int r, services_read_fn *then)
{
	s->r = r;
	s->why = *refuse_last();
	r = write_back(s);
	r = r ?: services_reload_then(s->m, then, s);
	if (r)
		finish(s, r);
}

/* The former text is read again, and nothing had taken up the other one. */
static void
on_untouched(int r, void *arg)
{
	struct service_set *s = arg;

	if (r < 0)
		log_fault(r, "reading cluster.yaml as it was");
	finish(s, s->r < 0 ? s->r : refuse_adopt(&s->why));
}

static void
on_applied(int r, void *arg)
{
	struct service_set *s = arg;
	/* Its configuration could not be written: it runs as it did. */
	bool untouched = r == -ENOSPC || r == -EDQUOT || r == -ENOMEM;

	if (r)
		undo(s, r, untouched ? on_untouched : on_back_read);
	else
		finish(s, 0);
}

static void
on_read(int r, void *arg)
{
	struct service_set *s = arg;

	if (r) { /* nobody could read it */
		undo(s, r, on_untouched);
		return;
	}
	if (s->needs <= SERVICE_SET_NEXT_START) {
		finish(s, 0);
		return;
	}
	s->restarted = s->needs == SERVICE_SET_RESTART;
	r = s->restarted ? services_restart(s->m, s->service, on_applied, s)
			 : services_take_up(s->m, s->service, on_applied, s);
	if (r)
		finish(s, r);
}

/* Nobody has read it: as if it had never been written. */
static void
go_back(const struct service_set *s, int etc)
{
	SCOPED(buf_done) struct buf is = BUF_MAX(YAML_BYTES_MAX);
	int r = fs_read(etc, "cluster.yaml", is.max, &is);

	/* Mostly it never was, and on a full disk nothing can be. */
	if (r != 0 || is.len != s->old.len || memcmp(is.data, s->old.data, is.len) != 0)
		r = put_former_back(s, etc);
	forget_former(s);
	if (r < 0)
		log_fault(r, "cluster.yaml as it was"); /* the journal stays: the next start goes by it */
	else if (s->needs > SERVICE_SET_NEXT_START)
		journal_remove(s);
}

static int
begin(struct service_set *s)
{
	struct services_state state = { 0 };
	bool runs = services_find(s->m, s->service, &state) &&
		strcmp(state.state, "stopped") != 0 && state.release[0];
	SCOPED(scope_close) int etc = -1;
	char object[SERVICES_NAME_MAX + 16];
	int r = fs_open_dir(&etc, AT_FDCWD, s->m->paths.etc, 0755);

	if (state.fault < 0) /* whether there is anything that has to take them up */
		return FAULT(state.fault);
	if (s->m->services->setting)
		return REFUSE(REASON_BUSY, s->service, "another change of knobs is on its way");
	if (!runs && s->needs > SERVICE_SET_NEXT_START)
		s->needs = SERVICE_SET_NEXT_START;
	(void)snprintf(object, sizeof(object), "%s set", s->service);
	r = r
		?: monitor_leaf(s->m, "service", monitor_call_actor(s->call), object, NULL,
			   REASON_NONE);
	if (r == 0 && s->needs > SERVICE_SET_NEXT_START)
		r = journal_write(s);
	r = r ?: keep_former(etc);
	r = r ?: fs_replace(etc, "cluster.yaml", buf_text(&s->new), s->new.len, 0644);
	r = r ?: services_reload_then(s->m, on_read, s);
	if (r) {
		go_back(s, etc);
		return r < 0 ? FAULT(r) : r;
	}
	s->m->services->setting = true;
	return 0;
}

static int
on_set(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(set_freep) struct service_set *s = NULL;
	SCOPED(scope_close) int etc = -1;
	struct services_state state;
	const char *service;
	int r = monitor_call_need(call, "service", &service);

	(void)arg;
	if (r)
		return r;
	r = services_need(m, service, &state);
	if (r)
		return r;
	s = set_new(m, call, service);
	if (!s)
		return FAULT(-ENOMEM);
	r = service_verbs_text(m, &etc, &s->old);
	r = r ?: service_set_edit(s);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (monitor_call_text(call, "diff") || !s->difference[0]) {
		monitor_answer(call, answer_of(s, &state));
		return 0;
	}
	r = begin(s);
	if (r)
		return r;
	monitor_call_hold(call, NULL, NULL);
	s = NULL; /* finish() frees it */
	return 0;
}

bool
service_set_resume(struct monitor *m, const char *name, bool stopped)
{
	SCOPED(set_freep) struct service_set *s = set_new(m, NULL, name);
	SCOPED(scope_close) int etc = -1;
	int r = s ? 0 : FAULT(-ENOMEM);

	if (m->services->setting)
		return false;
	r = r ?: service_verbs_text(m, &etc, &s->new);
	if (r < 0)
		log_fault(r, "looking at a change of knobs that was cut off");
	if (r)
		return false;
	/* What is not to run has nothing to be healthy with, and what somebody wrote since is theirs: an old
	 * text must not lie here until another change fails. */
	if (stopped || !journal_read(s)) {
		journal_remove(s);
		return false;
	}
	s->needs = SERVICE_SET_RESTART;
	if (services_restart(m, name, on_applied, s) != 0)
		return false;
	m->services->setting = true;
	s = NULL; /* finish() frees it */
	return true;
}

int
service_set_init(struct monitor *m)
{
	return monitor_register_verb(m, "service.set", CALL_ROLE_CONTROL, on_set, NULL);
}
