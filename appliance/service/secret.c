#include "appliance/service/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/service/spec.h"

enum { RANDOM_MAX = 64, TEXT_MAX = SPEC_SECRET_BYTES_MAX };

_Static_assert((int)DEFINITION_SECRETS_MAX <= (int)SPEC_SECRETS_MAX, "a spec takes all of a definition's");

static int
open_folder(int *ret_fd, const struct paths *paths, const char *service)
{
	char path[sizeof(paths->lib) + SPEC_NAME_MAX + 32];
	SCOPED(scope_close) int fd = -1;
	int r;

	(void)snprintf(path, sizeof(path), "%s/services/%s/secrets", paths->lib, service);
	r = fs_open_dir(&fd, AT_FDCWD, path, 0700);
	if (r)
		return FAULT(r);
	/* fs_open_dir() leaves a folder that is there as it is. */
	if (fchmod(fd, 0700) < 0)
		return FAULT(-errno);
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int
make(int dir_fd, const struct definition_secret *secret)
{
	uint8_t raw[RANDOM_MAX];
	char text[2 * RANDOM_MAX + 1];
	int r;

	fs_random(raw, secret->bytes);
	hex_encode(text, raw, secret->bytes);
	r = fs_replace(dir_fd, secret->name, text, 2 * (size_t)secret->bytes, 0600);
	explicit_bzero(raw, sizeof(raw));
	explicit_bzero(text, sizeof(text));
	return FAULT(r);
}

/* Why a value cannot be; NULL: it can. */
static const char *
why_not(const struct definition_secret *secret, const char *value, size_t len)
{
	if (len == 0 || len > SECRET_VALUE_MAX)
		return "a secret has 1 to 1024 bytes";
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c < 0x20 || c == 0x7f)
			return "a secret is one line of text";
		/* Nothing here knows how to quote in whatever file the template is. */
		if (secret->template && (c == ' ' || c >= 0x80 || strchr("\"'\\#;{}$`", c)))
			return "stands in a configuration file: no blanks, quotes, #;{}$`\\ and "
			       "nothing beyond ASCII";
	}
	return NULL;
}

/* The value; the caller wipes *out in every case. */
static int
read_value(int dir_fd, const struct definition_secret *secret, struct buf *out)
{
	int r;

	*out = BUF_MAX(SECRET_VALUE_MAX);
	if (!buf_reserve(out, SECRET_VALUE_MAX)) /* once: growing would leave copies behind */
		return FAULT(-ENOMEM);
	r = fs_read(dir_fd, secret->name, SECRET_VALUE_MAX, out);
	if (r < 0 || r == REASON_NOT_FOUND)
		return r < 0 ? FAULT(r) : r;
	if (r || why_not(secret, (const char *)out->data, out->len))
		return REFUSE(REASON_MALFORMED, secret->name,
			"its file is no secret; set or rotate it");
	return 0;
}

/* What its file says: the template's text around the value. */
static int
put_text(struct buf *out, const struct definition_secret *secret, const struct buf *value)
{
	const char *at = secret->template ? strstr(secret->template, "{value}") : NULL;

	*out = BUF_MAX(TEXT_MAX);
	if (!buf_reserve(out, TEXT_MAX))
		return FAULT(-ENOMEM);
	if (at)
		buf_put(out, secret->template, (size_t)(at - secret->template));
	buf_put(out, value->data, value->len);
	if (at) {
		buf_puts(out, at + strlen("{value}"));
		buf_puts(out, "\n");
	}
	return FAULT(buf_error(out));
}

/* Its value, made where it is not there yet, and its text; the caller wipes both in every case. */
static int
take(int dir_fd, const struct definition_secret *secret, struct buf *value, struct buf *text)
{
	int r = read_value(dir_fd, secret, value);

	if (r == REASON_NOT_FOUND) {
		r = make(dir_fd, secret);
		buf_wipe(value);
		r = r ?: read_value(dir_fd, secret, value);
	}
	return r ?: put_text(text, secret, value);
}

int
secret_prepare(struct spec *s, const struct paths *paths, const struct definition *d)
{
	SCOPED(scope_close) int dir = -1;
	int r = d->n_secrets ? open_folder(&dir, paths, s->name) : 0;

	for (size_t i = 0; r == 0 && i < d->n_secrets; i++) {
		SCOPED(buf_wipe) struct buf value = BUF_MAX(SECRET_VALUE_MAX);
		SCOPED(buf_wipe) struct buf text = BUF_MAX(TEXT_MAX);

		r = take(dir, &d->secrets[i], &value, &text);
		r = r ?: spec_secret(s, d->secrets[i].name, text.data, text.len);
	}
	return r < 0 ? FAULT(r) : r;
}

static int
give(struct secret_given *ret, int dir_fd, const struct definition_secret *secret)
{
	const char *at = secret->template ? strstr(secret->template, "{value}") : NULL;
	SCOPED(buf_wipe) struct buf value = BUF_MAX(SECRET_VALUE_MAX);
	SCOPED(buf_wipe) struct buf text = BUF_MAX(TEXT_MAX);
	int fd, r = take(dir_fd, secret, &value, &text);

	r = r ?: fs_memfd(&fd, "secret", text.data, text.len);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = (struct secret_given){ .name = secret->name,
		.fd = fd,
		.from = at ? (uint32_t)(at - secret->template) : 0,
		.len = (uint32_t)value.len };
	return 0;
}

int
secret_grant(struct secret_grant *ret, const struct paths *paths, const struct definition *d, const json_t *names)
{
	SCOPED(scope_close) int dir = -1;
	const json_t *name;
	size_t i;
	int r;

	ret->n = 0;
	if (json_array_size(names) == 0)
		return 0;
	r = open_folder(&dir, paths, d->name);
	json_array_foreach(names, i, name) {
		const struct definition_secret *secret = definition_secret(d, json_string_value(name));

		if (r)
			break;
		if (!secret || ret->n == DEFINITION_SECRETS_MAX)
			return FAULT(-EINVAL); /* definition_read() lets neither be */
		r = give(&ret->items[ret->n], dir, secret);
		ret->n += r == 0;
	}
	return r < 0 ? FAULT(r) : r;
}

void
secret_grant_done(struct secret_grant *g)
{
	for (size_t i = 0; i < g->n; i++)
		scope_close(&g->items[i].fd);
	g->n = 0;
}

int
secret_value(struct buf *out, const struct paths *paths, const char *service,
	const struct definition_secret *secret)
{
	SCOPED(scope_close) int dir = -1;
	int r = open_folder(&dir, paths, service);

	r = r ?: read_value(dir, secret, out);
	if (r == REASON_NOT_FOUND)
		return REFUSE(r, secret->name, "%s has no such secret yet: it is made when the "
					       "service starts", service);
	return r < 0 ? FAULT(r) : r;
}

int
secret_set(const struct paths *paths, const char *service,
	const struct definition_secret *secret, const char *value, size_t len)
{
	const char *why = why_not(secret, value, len);
	SCOPED(scope_close) int dir = -1;
	int r;

	if (why)
		return REFUSE(REASON_MALFORMED, secret->name, "%s", why);
	r = open_folder(&dir, paths, service);
	return FAULT(r ?: fs_replace(dir, secret->name, value, len, 0600));
}

int
secret_rotate(
	const struct paths *paths, const char *service, const struct definition_secret *secret)
{
	SCOPED(scope_close) int dir = -1;
	int r = open_folder(&dir, paths, service);

	return FAULT(r ?: make(dir, secret));
}

int
secret_list(json_t **ret, const struct paths *paths, const struct definition *d)
{
	char path[sizeof(paths->lib) + SPEC_NAME_MAX + DEFINITION_NAME_MAX + 32];
	SCOPED_JSON *all = json_array();
	int r = all ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < d->n_secrets; i++) {
		json_t *one = json_pack("{s:s, s:s, s:n}", "name", d->secrets[i].name, "help",
			d->secrets[i].help, "made");
		struct stat st;

		(void)snprintf(path, sizeof(path), "%s/services/%s/secrets/%s", paths->lib, d->name,
			d->secrets[i].name);
		if (one && stat(path, &st) == 0)
			r = json_put_time(one, "made",
				(uint64_t)st.st_mtim.tv_sec * CLOCK_US_PER_S);
		if (json_array_append_new(all, one) < 0)
			r = -ENOMEM;
	}
	if (r)
		return FAULT(r);
	*ret = STEAL(all);
	return 0;
}
