/* nginx' status page (ngx_http_stub_status_module) as it comes over HTTP/1.0.  Pure; a server that was broken into sends
 * what it likes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	NGINX_STATUS_BYTES_MAX = 8 * 1024, /* head and page */
	NGINX_STATUS_ERROR = 1002,
};

enum nginx_status_number {
	NGINX_STATUS_ACTIVE,
	NGINX_STATUS_ACCEPTS,
	NGINX_STATUS_HANDLED,
	NGINX_STATUS_REQUESTS,
	NGINX_STATUS_READING,
	NGINX_STATUS_WRITING,
	NGINX_STATUS_WAITING,
	NGINX_STATUS_MAX
};

/* Read a whole answer.  Returns 0 with all numbers; NGINX_STATUS_ERROR where it is HTTP, but no 200; or
 * REASON_MALFORMED (logged). */
int nginx_status_read(const uint8_t *p, size_t len, int64_t ret[NGINX_STATUS_MAX]);
