#include "appliance/serve/nginx_conf.h"

#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/nginx.h"

enum {
	BODY_DEFAULT = 1024 * 1024,
	/* A body that is a little too large reaches the hub, whose refusal is signed and has its reason. */
	BODY_SLACK = 64 * 1024,
	FILES_LEAST = 1024,
	FILES_MAX = 16384,
};

static int
check_path(const char *what, const char *path)
{
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f || strchr("\"'\\;{}$#", *c))
			return REFUSE(REASON_MALFORMED, what, "\"%s\" cannot stand in nginx's configuration", path);
	return 0;
}

/* Descriptors a worker may have: what the system grants us, within reason.  A proxied connection takes two. */
static rlim_t
files_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return FILES_LEAST;
	return limit.rlim_max > FILES_MAX ? FILES_MAX : limit.rlim_max;
}

static void
write_head(struct buf *out, const struct nginx_config *c)
{
	rlim_t files = files_max();

	buf_printf(out,
		"daemon off;\n"
		"worker_processes 2;\n"
		"pid %s/nginx.pid;\n"
		"error_log %s/error.log warn;\n",
		c->dir, c->dir);
	/* Our child runs as we do; a front of its own user is the packages' matter. */
	if (geteuid() == 0)
		buf_puts(out, "user root;\n");
	buf_printf(out, "worker_rlimit_nofile %ju;\nevents { worker_connections %ju; }\nhttp {\n", (uintmax_t)files,
		(uintmax_t)(files / 2));
	buf_printf(out,
		"access_log off;\n"
		"server_tokens off;\n"
		"client_body_temp_path %s/body;\n"
		"proxy_temp_path %s/proxy;\n"
		"fastcgi_temp_path %s/fastcgi;\n"
		"uwsgi_temp_path %s/uwsgi;\n"
		"scgi_temp_path %s/scgi;\n",
		c->dir, c->dir, c->dir, c->dir, c->dir);
	buf_puts(out, "default_type application/octet-stream;\n"
		      "types { application/json json; }\n"
		      "sendfile on;\n"
		      "tcp_nodelay on;\n"
		      "keepalive_timeout 60s;\n"
		      "client_header_timeout 10s;\n"
		      "client_body_timeout 10s;\n"
		      "client_body_buffer_size 256k;\n" /* what a site sends is seldom longer: no file for it */
		      "send_timeout 30s;\n"
		      "reset_timedout_connection on;\n"
		      "large_client_header_buffers 8 16k;\n"
		      "limit_conn_zone $binary_remote_addr zone=conn:10m;\n"
		      "limit_req_zone $binary_remote_addr zone=req:10m rate=500r/s;\n"
		      "limit_conn_status 429;\n"
		      "limit_req_status 429;\n");
	buf_printf(out, "upstream hub { server unix:%s; keepalive 64; }\n", c->socket);
}

/* nginx's own refusals in the form of the hub's. */
static void
write_problems(struct buf *out)
{
	static const struct {
		const char *codes;
		int status;
		const char *reason;
		const char *text;
	} problems[] = {
		{ "400 414 431 494 495 496 497 501", 400, "malformed", "no request that can be read" },
		{ "403", 403, "denied", "not from here" },
		{ "404", 404, "not-found", "no such file" },
		{ "405", 404, "not-found", "not for this method" },
		{ "413", 413, "too-large", "the body is too large" },
		{ "429", 429, "busy", "too many at once" },
		{ "500 502 504", 503, "unreachable", "the hub does not answer" },
	};

	for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
		buf_printf(out,
			"error_page %s =%d @p%zu;\n"
			"location @p%zu {\n"
			"\tdefault_type application/problem+json;\n"
			"\tadd_header Mainstay-Reason %s always;\n"
			"%s"
			"\treturn %d '{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"reason\":\"%s\","
			"\"operand\":\"\",\"detail\":\"%s\"}';\n"
			"}\n",
			problems[i].codes, problems[i].status, i, i, problems[i].reason,
			problems[i].status == 429 || problems[i].status == 503 ? "\tadd_header Retry-After 5 always;\n" : "",
			problems[i].status, problems[i].reason, problems[i].status, problems[i].reason, problems[i].text);
}

static void
write_proxy(struct buf *out, const char *location, size_t body_max, bool local)
{
	buf_printf(out, "location %s {\n", location);
	if (local)
		buf_puts(out, "\tallow 127.0.0.0/8;\n\tallow ::1;\n\tdeny all;\n");
	buf_printf(out,
		"\tclient_max_body_size %zu;\n"
		"\tlimit_conn conn 256;\n"
		"\tlimit_req zone=req burst=1000 nodelay;\n"
		"\tproxy_pass http://hub;\n"
		"\tproxy_http_version 1.1;\n"
		"\tproxy_set_header Host $http_host;\n"
		"\tproxy_set_header X-Real-IP $remote_addr;\n"
		"\tproxy_set_header Connection \"\";\n"
		"\tproxy_request_buffering on;\n"
		"\tproxy_buffering on;\n"
		"\tproxy_connect_timeout 5s;\n"
		"\tproxy_read_timeout 70s;\n"
		"\tproxy_next_upstream off;\n"
		"}\n",
		body_max + BODY_SLACK);
}

static void
write_static(struct buf *out, const char *folder, const char *cache, bool text, const struct nginx_config *c)
{
	buf_printf(out,
		"location /%s/ {\n"
		"\troot %s;\n"
		"\tlimit_except GET { deny all; }\n"
		"\tdisable_symlinks on from=$document_root;\n"
		"\tlog_not_found off;\n" /* each client looks for a root that is not there yet */
		"\tadd_header Cache-Control \"%s\";\n"
		"%s"
		"}\n",
		folder, c->repo, cache,
		/* An index names each file by its digest: three quarters of its text are saved. */
		text ? "\tgzip on;\n\tgzip_vary on;\n\tgzip_proxied any;\n\tgzip_comp_level 6;\n\tgzip_types application/json;\n"
		     : "");
}

int
nginx_conf_write(struct buf *out, const struct nginx_config *c)
{
	int r;

	r = check_path("dir", c->dir);
	r = r ? r : check_path("state", c->state);
	r = r ? r : check_path("socket", c->socket);
	r = r ? r : check_path("listen", c->listen);
	r = r ? r : check_path("repo", c->repo);
	if (r != 0)
		return r;
	write_head(out, c);
	buf_printf(out,
		"server {\n"
		"listen %s ssl http2;\n"
		"ssl_certificate %s/server.pem;\n"
		"ssl_certificate_key %s/server.key;\n"
		"ssl_protocols TLSv1.2 TLSv1.3;\n"
		"ssl_session_tickets off;\n"
		"ssl_session_cache shared:tls:4m;\n",
		c->listen, c->state, c->state);
	write_problems(out);
	write_proxy(out, "/", BODY_DEFAULT, false);
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct route *route = c->routes[i];
		char exact[128];

		if ((route->body_max <= BODY_DEFAULT && !(route->flags & ROUTE_LOCAL)) || strchr(route->pattern, '{'))
			continue;
		(void)snprintf(exact, sizeof(exact), "= %s", route->pattern);
		write_proxy(out, exact, route->body_max, (route->flags & ROUTE_LOCAL) != 0);
	}
	if (c->repo[0] != '\0') {
		/* What is named by its hash never changes; what is named by its role does. */
		write_static(out, "tuf", "no-cache", true, c);
		write_static(out, "objects", "public, max-age=31536000, immutable", false, c);
		write_static(out, "patches", "public, max-age=31536000, immutable", false, c);
		write_static(out, "packs", "public, max-age=31536000, immutable", false, c);
	}
	buf_puts(out, "}\n}\n");
	return buf_error(out) ? FAULT(buf_error(out)) : 0;
}
