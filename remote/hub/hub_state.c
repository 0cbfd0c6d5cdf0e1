#include "remote/hub/hub_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/tls.h"
#include "appliance/trust/note.h"

enum {
	CONFIG_MAX = 16 * 1024,
	HOST_MAX = 200,
	SOCKET_PATH_MAX = 108, /* of sockaddr_un, with NUL */
};

void
hub_state_done(struct hub_state *s)
{
	ed25519_free(s->reply);
	ed25519_free(s->witness);
	ed25519_free(s->director);
	scope_close(&s->lock_fd);
	scope_close(&s->dir_fd);
}

/* --- what to listen on -------------------------------------------------------------------------------- */
struct address {
	char host[HOST_MAX]; /* without brackets */
	uint16_t port;
	bool six;
};

static int
parse_listen(struct address *ret, const char *text)
{
	struct address a = { 0 };
	const char *colon = strrchr(text, ':');
	const char *from = text;
	uint8_t bytes[16];
	uint64_t port;
	size_t len;

	if (!colon || colon == text || number_u64(&port, colon + 1, 65535) != 0)
		return REFUSE(REASON_USAGE, text, "is not ADDRESS:PORT");
	len = (size_t)(colon - text);
	a.six = text[0] == '[';
	if (a.six && (len < 3 || text[len - 1] != ']'))
		return REFUSE(REASON_USAGE, text, "has no closing bracket");
	if (a.six) {
		from++;
		len -= 2;
	}
	if (len >= sizeof(a.host))
		return REFUSE(REASON_USAGE, text, "is too long");
	memcpy(a.host, from, len);
	a.port = (uint16_t)port;
	if (inet_pton(a.six ? AF_INET6 : AF_INET, a.host, bytes) != 1)
		return REFUSE(REASON_USAGE, text, "\"%s\" is no address literal", a.host);
	*ret = a;
	return 0;
}

/* A port that is free just now. */
static int
pick_port(struct address *a)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *found = NULL;
	SCOPED(scope_close) int fd = -1;
	int r = 0;

	if (getaddrinfo(a->host, "0", &hints, &found) != 0)
		return FAULT(-EINVAL);
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 ||
		getsockname(fd, (struct sockaddr *)&bound, &len) < 0)
		r = -errno;
	freeaddrinfo(found);
	if (r == -EADDRNOTAVAIL)
		return REFUSE(REASON_USAGE, a->host, "is no address of this machine");
	if (r < 0)
		return FAULT(r);
	a->port = ntohs(a->six ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
	return 0;
}

/* --- hub.json ----------------------------------------------------------------------------------------- */
static int
absolute(char out[PATH_MAX], const char *path)
{
	char cwd[PATH_MAX];

	if (realpath(path, out))
		return 0;
	if (path[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return FAULT(-errno);
	if (snprintf(out, PATH_MAX, "%s%s%s", path[0] == '/' ? "" : cwd, path[0] == '/' ? "" : "/", path) >= PATH_MAX)
		return REFUSE(REASON_USAGE, path, "is too long");
	return 0;
}

struct config {
	uint64_t v;
	const char *name, *listen, *repo;
};

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct config, v), 1 },
	{ "name", JSON_KIND_TEXT, false, offsetof(struct config, name), SERVE_NAME_MAX - 1 },
	{ "listen", JSON_KIND_TEXT, false, offsetof(struct config, listen), SERVE_URL_MAX - 16 },
	{ "repo", JSON_KIND_TEXT, false, offsetof(struct config, repo), PATH_MAX - 1 },
};

/* REASON_NOT_FOUND (unlogged) where there is none. */
static int
load_config(struct hub_state *s)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(CONFIG_MAX);
	SCOPED_JSON *doc = NULL;
	struct config c = { 0 };
	int r;

	r = fs_read(s->dir_fd, "hub.json", CONFIG_MAX, &text);
	r = r ? r : json_read(&doc, text.data, text.len, CONFIG_MAX, "hub.json");
	r = r ? r : json_members(doc, fields, ARRAY_LEN(fields), &c, "hub.json");
	if (r != 0)
		return FAULT(r);
	(void)snprintf(s->name, sizeof(s->name), "%s", c.name);
	(void)snprintf(s->listen, sizeof(s->listen), "%s", c.listen);
	(void)snprintf(s->url, sizeof(s->url), "https://%s", s->listen);
	(void)snprintf(s->repo, sizeof(s->repo), "%s", c.repo);
	return 0;
}

static int
save_config(struct hub_state *s, const char *name, struct address *a, const char *repo)
{
	SCOPED_JSON *doc = NULL;
	SCOPED(scope_free) char *text = NULL;
	int r = a->port == 0 ? pick_port(a) : 0;

	if (r != 0)
		return r;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	(void)snprintf(s->listen, sizeof(s->listen), a->six ? "[%s]:%u" : "%s:%u", a->host, a->port);
	(void)snprintf(s->url, sizeof(s->url), "https://%s", s->listen);
	(void)snprintf(s->repo, sizeof(s->repo), "%s", repo);
	doc = json_pack("{s:i, s:s, s:s, s:s}", "v", 1, "name", s->name, "listen", s->listen, "repo", s->repo);
	text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
	if (!text)
		return FAULT(-ENOMEM);
	r = fs_replace(s->dir_fd, "hub.json", text, strlen(text), 0600);
	return FAULT(r);
}

/* What is there must be what is asked for; port 0 asks for whichever there is. */
static int
compare_config(const struct hub_state *s, const char *name, const struct address *a, const char *repo)
{
	struct address is;
	int r = parse_listen(&is, s->listen);

	if (r != 0)
		return r;
	if (strcmp(s->name, name) != 0 || strcmp(s->repo, repo) != 0 || strcmp(is.host, a->host) != 0 ||
		(a->port != 0 && a->port != is.port))
		return REFUSE(REASON_CONFLICT, s->dir, "is the hub %s at %s with %s already", s->name, s->listen, s->repo);
	return 0;
}

/* --- the folder --------------------------------------------------------------------------------------- */
static int
open_dir(struct hub_state *s, const char *dir, bool make)
{
	int r;

	s->dir_fd = s->lock_fd = -1;
	if (make) {
		r = fs_open_dir(&s->dir_fd, AT_FDCWD, dir, 0700);
		if (r < 0)
			return FAULT(r);
	} else {
		s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->dir_fd < 0)
			return REFUSE(REASON_NOT_FOUND, dir, "is no hub's folder; make one with init");
	}
	r = absolute(s->dir, dir);
	if (r == 0 && strlen(s->dir) + sizeof("/http.sock") > SOCKET_PATH_MAX)
		return REFUSE(REASON_USAGE, s->dir, "is too long: a socket's path below it has at most %d bytes",
			SOCKET_PATH_MAX - 1);
	return r;
}

static int
load_keys(struct hub_state *s)
{
	struct address a;
	int r;

	r = ed25519_load_or_make(&s->reply, s->dir_fd, "reply.key");
	r = r ? r : ed25519_load_or_make(&s->witness, s->dir_fd, "witness.key");
	r = r ? r : ed25519_load_or_make(&s->director, s->dir_fd, "director.key");
	r = r ? r : parse_listen(&a, s->listen);
	r = r ? r : tls_ensure(s->dir_fd, s->name, a.host);
	return FAULT(r);
}

static int
write_facts(const struct hub_state *s, struct buf *out)
{
	SCOPED_JSON *doc = json_pack("{s:i, s:s, s:s, s:s, s:{s:s, s:s}, s:s}", "v", 1, "name", s->name, "url", s->url,
		"reply", ed25519_public_hex(s->reply), "witness", "name", s->name, "key",
		ed25519_public_hex(s->witness), "director", ed25519_public_hex(s->director));
	SCOPED(scope_free) char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;

	if (!text)
		return FAULT(-ENOMEM);
	buf_printf(out, "%s\n", text);
	return FAULT(buf_error(out));
}

int
hub_state_init(const char *dir, const char *name, const char *listen, const char *repo, struct buf *facts)
{
	SCOPED(hub_state_done) struct hub_state s = { .dir_fd = -1, .lock_fd = -1 };
	static const uint8_t any_key[32];
	char path[PATH_MAX];
	struct note_key unused;
	struct address a;
	int r;

	if (strlen(name) >= SERVE_NAME_MAX || note_key_make(&unused, name, NOTE_TYPE_ED25519, any_key) != 0)
		return REFUSE(REASON_USAGE, name, "is no hub's name: it signs, so no spaces, no '+', at most %d bytes",
			SERVE_NAME_MAX - 1);
	r = parse_listen(&a, listen);
	r = r ? r : absolute(path, repo);
	r = r ? r : open_dir(&s, dir, true);
	if (r != 0)
		return r;
	r = load_config(&s);
	if (r == REASON_NOT_FOUND)
		r = save_config(&s, name, &a, path);
	else if (r == 0)
		r = compare_config(&s, name, &a, path);
	r = r ? r : load_keys(&s);
	return r ? FAULT(r) : write_facts(&s, facts);
}

int
hub_state_open(struct hub_state *ret, const char *dir)
{
	struct hub_state s = { .dir_fd = -1, .lock_fd = -1 };
	int r;

	r = open_dir(&s, dir, false);
	if (r == 0) {
		r = load_config(&s);
		if (r == REASON_NOT_FOUND)
			r = REFUSE(REASON_NOT_FOUND, dir, "is no hub's folder; make one with init");
	}
	r = r ? r : load_keys(&s);
	if (r != 0) {
		hub_state_done(&s);
		return FAULT(r);
	}
	*ret = s;
	return 0;
}

int
hub_state_lock(struct hub_state *s)
{
	s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return FAULT(-errno);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? REFUSE(REASON_CONFLICT, s->dir, "another hub runs on it") : FAULT(-errno);
	return 0;
}
