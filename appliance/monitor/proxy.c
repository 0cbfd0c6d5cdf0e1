#include "appliance/monitor/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

/* Behind "http://" or "https://"; NULL where url begins with neither. */
static const char *
behind_scheme(const char *url)
{
	if (strncmp(url, "http://", 7) == 0)
		return url + 7;
	return strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}

/* The host, behind the last @: a password may hold one. */
static const char *
host_of(const char *authority)
{
	const char *at = strrchr(authority, '@');

	return at ? at + 1 : authority;
}

int
proxy_check(const char *url)
{
	const char *rest = behind_scheme(url), *host;
	size_t len;

	if (strlen(url) >= PROXY_MAX)
		return REFUSE(REASON_USAGE, "proxy", "is over %d bytes", PROXY_MAX - 1);
	for (const char *c = url; *c; c++)
		if (*c <= 0x20 || *c >= 0x7f)
			return REFUSE(REASON_USAGE, "proxy", "byte %zu cannot stand in a URL", (size_t)(c - url) + 1);
	if (!rest)
		return REFUSE(REASON_USAGE, "proxy", "must begin with http:// or https://");
	host = host_of(rest);
	len = strcspn(host, "/?#");
	if (len == 0 || host[0] == ':' || (host[len] && strcmp(host + len, "/") != 0))
		return REFUSE(REASON_USAGE, "proxy", "must be http://[NAME:PASSWORD@]HOST:PORT");
	return 0;
}

int
proxy_read(char out[PROXY_MAX], const char *etc)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PROXY_MAX + 1);
	SCOPED(scope_close) int fd = open(etc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	out[0] = '\0';
	if (fd < 0)
		return errno == ENOENT ? REASON_NOT_FOUND : FAULT(-errno);
	r = fs_read(fd, PROXY_FILE, PROXY_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return r;
	if (r)
		return r < 0 ? FAULT(r) : REFUSE((enum reason)r, "etc/" PROXY_FILE, "cannot be read");
	while (b.len > 0 && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == ' '))
		b.len--;
	if (b.len == 0)
		return 0;
	if (memchr(b.data, '\0', b.len) || b.len >= PROXY_MAX)
		return REFUSE(REASON_MALFORMED, "etc/" PROXY_FILE, "is no line of at most %d bytes", PROXY_MAX - 1);
	memcpy(out, b.data, b.len);
	out[b.len] = '\0';
	r = proxy_check(out);
	if (r)
		out[0] = '\0';
	return r;
}

/* Kept 0600; "" removes it. */
static int
keep(const char *etc, const char *url)
{
	SCOPED(scope_close) int fd = -1;
	char line[PROXY_MAX + 1];
	int r = fs_open_dir(&fd, AT_FDCWD, etc, 0755);

	if (r < 0)
		return FAULT(r);
	if (!*url)
		return unlinkat(fd, PROXY_FILE, 0) == 0 || errno == ENOENT ? 0 : FAULT(-errno);
	(void)snprintf(line, sizeof(line), "%s\n", url);
	return FAULT(fs_replace(fd, PROXY_FILE, line, strlen(line), 0600));
}

int
proxy_option(char out[PROXY_MAX], const char *etc, const char *option)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PROXY_MAX);
	int r;

	if (!option) {
		r = proxy_read(out, etc);
		return r == REASON_NOT_FOUND ? 0 : r;
	}
	if (strcmp(option, "-") == 0) {
		r = command_read_file(option, PROXY_MAX, &b);
		if (r)
			return r;
		option = buf_text(&b);
		if (b.len)
			b.data[strcspn(option, "\r\n")] = '\0';
	}
	if (*option && (r = proxy_check(option)) != 0)
		return r;
	(void)snprintf(out, PROXY_MAX, "%s", option);
	return keep(etc, option);
}

const char *
proxy_shown(char out[PROXY_MAX], const char *url)
{
	const char *rest = behind_scheme(url);

	if (rest)
		(void)snprintf(out, PROXY_MAX, "%.*s%s", (int)(rest - url), url, host_of(rest));
	else
		out[0] = '\0';
	return out;
}
