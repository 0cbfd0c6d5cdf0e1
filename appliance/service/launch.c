#include "appliance/service/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/cluster.h"
#include "appliance/service/definition.h"
#include "appliance/service/identity.h"
#include "appliance/service/secret.h"

/* As the service itself sees them. */
static const struct definition_values inside = {
	.run = "/run/service", .data = "/data", .conf = "/conf", .log = "/log"
};

/* Open (making) path below dir_fd, with this owner and mode. */
static int
folder(int *ret_fd, int dir_fd, const char *path, const struct identity *id, gid_t gid, mode_t mode)
{
	SCOPED(scope_close) int fd = -1;
	int r;

	r = fs_open_dir(&fd, dir_fd, path, 0755);
	if (r)
		return FAULT(r);
	if (id->separate && fchown(fd, id->uid[IDENTITY_SERVICE], gid) < 0)
		return FAULT(-errno);
	if (fchmod(fd, mode) < 0)
		return FAULT(-errno);
	if (ret_fd)
		*ret_fd = STEAL_FD(fd);
	return 0;
}

/* The same for a path of several steps inside a folder that the service itself may write: it must
 * not lead us elsewhere by a link, so no step follows one. */
static int
folder_inside(int *ret_fd, int dir_fd, const char *path, const struct identity *id, mode_t mode)
{
	SCOPED(scope_close) int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	char name[NAME_MAX + 1];
	int r;

	if (at < 0)
		return FAULT(-errno);
	while (*(path += strspn(path, "/"))) {
		size_t len = strcspn(path, "/");
		int next = -1;

		if (len >= sizeof(name) || (len == 2 && !strncmp(path, "..", 2)))
			return FAULT(-EINVAL);
		memcpy(name, path, len);
		name[len] = '\0';
		r = folder(&next, at, name, id, id->uid[IDENTITY_SERVICE], mode);
		if (r)
			return FAULT(r);
		(void)close(at);
		at = next;
		path += len;
	}
	*ret_fd = STEAL_FD(at);
	return 0;
}

/* The users as service name's own folders know them: what is the services' there is its own. */
static int
as_service(struct identity *ret, const struct identity *id, const struct paths *paths,
	const char *name)
{
	*ret = *id;
	return identity_service(id, paths, name, &ret->uid[IDENTITY_SERVICE]);
}

static int
make_folders(struct spec *spec, const struct paths *paths, const struct identity *id)
{
	static const char *const subs[] = { "data", "conf", "log" };
	static const mode_t modes[] = { 0700, 0750, 02750 };
	char *const places[] = { spec->data, spec->conf, spec->log };
	gid_t gid = id->uid[IDENTITY_SERVICE], collector = id->uid[IDENTITY_COLLECTD];
	int r;

	_Static_assert(sizeof(paths->lib) + sizeof("/services//data") + SPEC_NAME_MAX <=
			SPEC_PATH_MAX,
		"a service's folders have room");
	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		(void)snprintf(places[i], SPEC_PATH_MAX, "%s/services/%s/%s", paths->lib,
			spec->name, subs[i]);
		/* The collector follows logs: set-group-ID, so that the files made there get its group. */
		r = folder(NULL, AT_FDCWD, places[i], id, i == 2 ? collector : gid, modes[i]);
		if (r)
			return FAULT(r);
	}
	(void)snprintf(spec->run, sizeof(spec->run), "%s/services/%s", paths->run, spec->name);
	/* Set-group-ID: the socket that the service makes there gets the collector's group.  Not the readers': the
	 * courier, which speaks with the vendor, is one of them. */
	return FAULT(folder(NULL, AT_FDCWD, spec->run, id, collector, 02750));
}

int
launch_knobs(const struct definition *d, const struct cluster_service *s, json_t **ret)
{
	SCOPED_JSON *knobs = json_object();

	if (!knobs)
		return FAULT(-ENOMEM);
	for (size_t i = 0; s && i < s->n_knobs; i++) {
		const struct definition_param *param;
		json_t *value = NULL;
		int r = definition_need_knob(d, s->knobs[i].name, &param);

		r = r ?: definition_parse_value(param, s->knobs[i].value, &value);
		if (r)
			return r < 0 ? FAULT(r) : r;
		if (json_object_set_new(knobs, s->knobs[i].name, value) < 0)
			return FAULT(-ENOMEM);
	}
	*ret = STEAL(knobs);
	return 0;
}

static int
data_folders(const struct definition *d, const struct spec *spec, const struct identity *id)
{
	SCOPED(scope_close) int data = -1;
	const json_t *v;
	size_t i;
	int r;

	data = open(spec->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (data < 0)
		return FAULT(-errno);
	json_array_foreach(d->data_folders, i, v) {
		SCOPED(scope_close) int fd = -1;

		r = folder_inside(&fd, data, json_string_value(v), id, 0700);
		if (r)
			return FAULT(r);
	}
	return 0;
}

static int
write_config(int conf_fd, const struct definition_config *c, const struct definition_values *values,
	const struct identity *id)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(DEFINITION_CONFIG_MAX);
	SCOPED(buf_done) struct buf old = BUF_MAX(DEFINITION_CONFIG_MAX);
	SCOPED(scope_free) char *path = strdup(c->path);
	SCOPED(scope_close) int dir = -1;
	const char *name;
	char *slash;
	int r;

	if (!path)
		return FAULT(-ENOMEM);
	r = definition_render(c, values, &text);
	if (r)
		return r < 0 ? FAULT(r) : r;
	slash = strrchr(path, '/');
	name = slash ? slash + 1 : path;
	if (slash)
		*slash = '\0';
	r = folder_inside(&dir, conf_fd, slash ? path : "", id, 0750);
	if (r)
		return FAULT(r);
	if (fs_read(dir, name, DEFINITION_CONFIG_MAX, &old) == 0 && old.len == text.len &&
		!memcmp(buf_text(&old), buf_text(&text), text.len))
		return 0;
	r = fs_replace(dir, name, buf_text(&text), text.len, 0640);
	if (r)
		return FAULT(r);
	if (id->separate &&
		fchownat(dir, name, 0, id->uid[IDENTITY_SERVICE], AT_SYMLINK_NOFOLLOW) < 0)
		return FAULT(-errno);
	return 0;
}

/* A template of a UNIX socket: a file in the run folder. */
static int
set_socket(struct spec *s, const char *template, const struct definition_values *values)
{
	SCOPED(scope_free) char *socket = NULL;
	const char *name;
	int r = definition_expand(template, values, &socket);

	if (r)
		return r < 0 ? FAULT(r) : r;
	name = strncmp(socket, "/run/service/", 13) ? socket : socket + 13;
	if (strchr(name, '/') || !*name || strlen(name) > SPEC_NAME_MAX)
		return REFUSE(REASON_MALFORMED, s->name,
			"health socket '%s' is not in the run folder", socket);
	(void)snprintf(s->socket, sizeof(s->socket), "%s", name);
	return 0;
}

static int
set_port(struct spec *s, const char *template, const struct definition_values *values)
{
	SCOPED(scope_free) char *port = NULL;
	int r = definition_expand(template, values, &port);

	if (r)
		return r < 0 ? FAULT(r) : r;
	if (number_u64(&s->port, port, 65535) != 0 || s->port == 0)
		return REFUSE(REASON_MALFORMED, s->name, "health port '%s' is no port", port);
	return 0;
}

static int
set_argv(struct spec *s, const struct definition_argv *templates,
	const struct definition_values *values, int (*add)(struct spec *s, const char *arg))
{
	SCOPED(definition_argv_freep) char **argv = NULL;
	int r = definition_expand_argv(templates, values, &argv);

	for (size_t i = 0; !r && argv[i]; i++)
		r = add(s, argv[i]);
	return r < 0 ? FAULT(r) : r;
}

static int
set_health(struct spec *s, const struct definition_health *h,
	const struct definition_values *values)
{
	static const enum spec_health types[] = { [DEFINITION_PROBE_TCP] = SPEC_HEALTH_TCP,
		[DEFINITION_PROBE_UNIX] = SPEC_HEALTH_UNIX,
		[DEFINITION_PROBE_HTTP] = SPEC_HEALTH_HTTP,
		[DEFINITION_PROBE_RESP] = SPEC_HEALTH_RESP,
		[DEFINITION_PROBE_POSTGRES] = SPEC_HEALTH_POSTGRES,
		[DEFINITION_PROBE_EXEC] = SPEC_HEALTH_EXEC };

	if (!h->present)
		return 0;
	s->health = types[h->type];
	s->start_timeout_ms = h->within_us / 1000;
	s->health_interval_ms = h->period_us / 1000 < 100 ? 100 : h->period_us / 1000;
	s->health_timeout_ms = h->timeout_us / 1000 < 10 ? 10 : h->timeout_us / 1000;
	s->health_failures = h->failures ? h->failures : 1;
	s->probe_secrets = json_array_size(h->secrets) > 0;
	(void)snprintf(s->expect, sizeof(s->expect), "%s", h->expect ? h->expect : "");
	(void)snprintf(s->path, sizeof(s->path), "%s", h->path ? h->path : "");
	(void)snprintf(s->user, sizeof(s->user), "%s", h->user ? h->user : "");
	(void)snprintf(s->database, sizeof(s->database), "%s", h->database ? h->database : "");
	if (h->type == DEFINITION_PROBE_EXEC)
		return set_argv(s, &h->argv, values, spec_probe);
	return h->socket ? set_socket(s, h->socket, values) : set_port(s, h->port, values);
}

/* What it is given, what it may use, how it is stopped and told. */
static int
set_ground(struct spec *s, const struct definition *d, const struct definition_values *values)
{
	static const enum spec_network networks[] = { [DEFINITION_NETWORK_NONE] = SPEC_NETWORK_NONE,
		[DEFINITION_NETWORK_LOOPBACK] = SPEC_NETWORK_LOOPBACK,
		[DEFINITION_NETWORK_HOST] = SPEC_NETWORK_HOST };
	struct definition_values prepare = *values;
	char folder[SPEC_NAME_MAX + 32];
	int r;

	s->network = networks[d->network];
	s->memory = d->limits.memory;
	s->processes = d->limits.processes;
	s->cpu_milli = d->limits.cpu_milli;
	s->nice = (uint64_t)d->limits.nice;
	s->nofile = d->limits.files;
	s->stop_signal = d->stop_signal;
	s->grace_ms = d->stop_grace_us / 1000;
	s->reload_signal = d->reload.signal;
	r = set_argv(s, &d->reload.argv, values, spec_reload);
	if (r || !d->prepare.present)
		return r;
	(void)snprintf(s->creates, sizeof(s->creates), "%s", d->prepare.creates);
	(void)snprintf(folder, sizeof(folder), "/data/.prepare.%s", d->prepare.creates);
	prepare.prepare = folder;
	s->prepare_timeout_ms = d->prepare.timeout_us / 1000;
	return set_argv(s, &d->prepare.argv, &prepare, spec_prepare);
}

int
launch_prepare(struct spec *ret, const struct paths *paths, const struct identity *id,
	const struct definition *d, const char *release, const json_t *knobs)
{
	static const enum spec_heal heal[] = { [DEFINITION_HEAL_EXIT] = SPEC_HEAL_EXIT,
		[DEFINITION_HEAL_HEALTH] = SPEC_HEAL_HEALTH,
		[DEFINITION_HEAL_NEVER] = SPEC_HEAL_NEVER };
	SCOPED(scope_close) int conf = -1;
	struct definition_values values = inside;
	SCOPED_JSON *checked = NULL;
	struct identity own;
	int r;

	spec_init(ret);
	if (snprintf(ret->name, sizeof(ret->name), "%s", d->name) >= (int)sizeof(ret->name) ||
		snprintf(ret->tree, sizeof(ret->tree), "%s/store/%s", paths->lib, release) >=
			(int)sizeof(ret->tree))
		return REFUSE(REASON_TOO_LARGE, d->name, "the name is too long");
	(void)snprintf(ret->release, sizeof(ret->release), "%s", release);
	r = definition_check_knobs(d, knobs, &checked);
	if (r)
		return r < 0 ? FAULT(r) : r;
	values.knobs = checked;
	values.of = d;
	r = set_argv(ret, &d->exec, &values, spec_arg);
	r = r ?: set_health(ret, &d->health, &values);
	r = r ?: set_ground(ret, d, &values);
	r = r ?: as_service(&own, id, paths, ret->name);
	r = r ?: make_folders(ret, paths, &own);
	r = r ?: data_folders(d, ret, &own);
	r = r ?: secret_prepare(ret, paths, d);
	if (r)
		return r < 0 ? FAULT(r) : r;
	ret->heal = heal[d->heal];
	conf = open(ret->conf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (conf < 0)
		return FAULT(-errno);
	r = fs_sweep(conf, 3);
	for (size_t i = 0; !r && i < d->n_config; i++)
		r = write_config(conf, &d->config[i], &values, &own);
	return r < 0 ? FAULT(r) : r;
}

int
launch_configs(json_t **ret, const struct definition *d, const json_t *knobs)
{
	SCOPED_JSON *all = json_object(), *checked = NULL;
	struct definition_values values = inside;
	int r = definition_check_knobs(d, knobs, &checked);

	if (r || !all)
		return r ?: FAULT(-ENOMEM);
	values.knobs = checked;
	values.of = d;
	for (size_t i = 0; i < d->n_config; i++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(DEFINITION_CONFIG_MAX);

		r = definition_render(&d->config[i], &values, &text);
		if (r)
			return r < 0 ? FAULT(r) : r;
		if (json_object_set_new(all, d->config[i].path, json_string(buf_text(&text))) < 0)
			return FAULT(-ENOMEM);
	}
	*ret = STEAL(all);
	return 0;
}
