#include "remote/hub/hub_health.h"

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"
#include "appliance/serve/accept.h"
#include "remote/hub/hub_metrics.h"

enum { METRICS_MAX = 1024 * 1024 };

static int
on_health(struct http_call *call, void *state)
{
	(void)state;
	http_call_reply(call, 200, "text/plain; charset=utf-8", "ok\n", 3);
	return 0;
}

static int
on_ready(struct http_call *call, void *state)
{
	int64_t one;
	int r = db_number(databases_fleet(serve_databases(state)), &one, 0,
		"SELECT count(*) FROM sites", "");

	if (r < 0)
		return FAULT(r);
	http_call_reply(call, 200, "text/plain; charset=utf-8", "ready\n", 6);
	return 0;
}

static int
on_metrics(struct http_call *call, void *state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(METRICS_MAX);
	bool openmetrics = accept_openmetrics(http_call_get(call, "accept"));
	SCOPED(buf_done) struct buf other = BUF_MAX(METRICS_MAX);
	const struct buf *body = openmetrics ? &other : &out;

	serve_metrics(state, &out);
	if (openmetrics)
		hub_metrics_put_openmetrics(&other, buf_text(&out));
	if (buf_error(&out) || buf_error(&other))
		return FAULT(buf_error(&out) ?: buf_error(&other));
	http_call_reply(call, 200,
		openmetrics ? ACCEPT_OPENMETRICS : ACCEPT_TEXT,
		body->data, body->len);
	return 0;
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/healthz", ROUTE_OPEN, 0, on_health, 0 },
	{ "GET", "/readyz", ROUTE_OPEN, 0, on_ready, 0 },
	{ "GET", "/metrics", ROUTE_OPEN, 0, on_metrics, ROUTE_LOCAL },
};

const struct serve_module hub_health_module = {
	.name = "health",
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
};
