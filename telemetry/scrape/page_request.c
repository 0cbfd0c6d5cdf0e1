#include "telemetry/scrape/page_request.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "appliance/serve/accept.h"

static const char token[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* "METHOD TARGET HTTP/1.x" */
static int
read_line(struct page_request *ret, char *line, bool *ret_old)
{
	char *method = strsep(&line, " "), *target = strsep(&line, " ");
	size_t len;

	if (!target || !line || !*method || method[strspn(method, token)] || *target != '/')
		return 400;
	ret->head = strcmp(method, "HEAD") == 0;
	*ret_old = strcmp(line, "HTTP/1.0") == 0;
	if (!*ret_old && strcmp(line, "HTTP/1.1") != 0)
		return strncmp(line, "HTTP/", 5) == 0 ? 505 : 400;
	len = strcspn(target, "?");
	if (len != 8 || strncmp(target, "/metrics", 8) != 0)
		return 404;
	return ret->head || strcmp(method, "GET") == 0 ? 200 : 405;
}

/* "127.0.0.1:9190", "[::1]", "localhost": nothing that a name server answers for. */
static bool
is_local_name(const char *host)
{
	size_t len = strcspn(host, ":");

	if (*host == '[')
		return true;
	return (len == 9 && strncasecmp(host, "localhost", 9) == 0) || (len > 0 && strspn(host, "0123456789.") == len);
}

/* What one field of the head comes to; counts the Hosts. */
static int
read_field(struct page_request *ret, char *line, bool local, unsigned *hosts)
{
	char *value = strchr(line, ':');
	size_t len;

	if (!value || value == line || line[strspn(line, token)] != ':')
		return 400;
	*value++ = '\0';
	value += strspn(value, " \t");
	for (len = strlen(value); len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'); len--)
		value[len - 1] = '\0';
	if (strcasecmp(line, "transfer-encoding") == 0)
		return 413;
	if (strcasecmp(line, "content-length") == 0 && strcmp(value, "0") != 0)
		return 413;
	if (strcasecmp(line, "accept") == 0 && accept_openmetrics(value))
		ret->openmetrics = true;
	if (strcasecmp(line, "host") != 0)
		return 200;
	++*hosts;
	return local && !is_local_name(value) ? 421 : 200;
}

static bool
is_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\0' || (iscntrl((unsigned char)text[i]) && !strchr("\r\n\t", text[i])))
			return false;
	return true;
}

/* The next line, without its end; one that ends in a newline alone is none. */
static char *
take_line(char **at)
{
	char *line = *at, *end = strstr(line, "\r\n");

	*end = '\0';
	*at = end + 2;
	return strpbrk(line, "\r\n") ? NULL : line;
}

int
page_request_read(struct page_request *ret, char *text, size_t len, bool local)
{
	char *end = memmem(text, len, "\r\n\r\n", 4), *at = text, *line;
	unsigned hosts = 0;
	bool old = false;
	int status;

	*ret = (struct page_request){ 0 };
	if (!end)
		return len >= PAGE_REQUEST_MAX ? 431 : 0;
	if (!is_text(text, (size_t)(end - text)))
		return 400;
	end[2] = '\0';
	line = take_line(&at);
	status = line ? read_line(ret, line, &old) : 400;
	while (status == 200 && *at) {
		line = take_line(&at);
		status = line ? read_field(ret, line, local, &hosts) : 400;
	}
	if (status == 200 && (hosts > 1 || (hosts == 0 && !old)))
		return 400;
	return status;
}
