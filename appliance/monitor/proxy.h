/* The way out: etc/proxy, one line, the URL of the proxy.  `mainstay enrol --proxy` writes it, the operator may edit
 * it at any time, and the monitor hands it to the courier within a second.  It may hold a name and a password
 * (http://NAME:PASSWORD@HOST:PORT): it is kept 0600, stands in no argv of a daemon and in no log. */
#pragma once

#include <stddef.h>

#define PROXY_FILE "proxy"

enum { PROXY_MAX = 256 }; /* with NUL */

/* A URL of http or https with a host, nothing after it but a slash.  Returns 0 or REASON_USAGE (logged without its
 * text). */
int proxy_check(const char *url);

/* Read etc/proxy.  Returns 0 ("" for an empty file, which says "none"); REASON_NOT_FOUND (unlogged) where there is no
 * such file; the refusal of what is no proxy (logged); or a fault. */
int proxy_read(char out[PROXY_MAX], const char *etc);

/* What a command was given: a URL is checked and kept in etc/proxy, "-" is one line from stdin (better than argv, which
 * ps shows), "" removes the file, NULL leaves it as it is.  out: the proxy to use now.  Blocks on stdin.  Returns 0, a
 * refusal (logged), or a fault. */
int proxy_option(char out[PROXY_MAX], const char *etc, const char *option);

/* url without its name and password, for people and status.  Returns out. */
const char *proxy_shown(char out[PROXY_MAX], const char *url);
