#include <inttypes.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/batch.h"
#include "appliance/serve/serve_room.h"

void
serve_metrics_count(struct serve *s, const struct http_call *call, int status)
{
	for (size_t i = 0; i < s->n_counters; i++)
		if (s->counters[i].route == call->route && s->counters[i].status == status) {
			s->counters[i].n++;
			return;
		}
	if (s->n_counters < SERVE_COUNTERS_MAX)
		s->counters[s->n_counters++] = (struct serve_counter){ call->route, status, 1 };
}

static void
put_ailing(const char *name, int why, void *arg)
{
	buf_printf(arg, "mainstay_hub_customer_ailing{customer=\"%s\",why=\"%s\"} 1\n", name,
		strerrorname_np(-why) ? strerrorname_np(-why) : "EUNKNOWN");
}

void
serve_metrics(struct serve *s, struct buf *out)
{
	buf_puts(out, "# HELP mainstay_hub_requests_total Requests answered, by route and status.\n"
		      "# TYPE mainstay_hub_requests_total counter\n");
	for (size_t i = 0; i < s->n_counters; i++)
		buf_printf(out, "mainstay_hub_requests_total{method=\"%s\",route=\"%s\",code=\"%d\"} %ju\n",
			s->counters[i].route ? s->counters[i].route->method : "",
			s->counters[i].route ? s->counters[i].route->pattern : "", s->counters[i].status,
			(uintmax_t)s->counters[i].n);
	buf_puts(out, "# HELP mainstay_hub_refusals_total Refusals, by reason.\n"
		      "# TYPE mainstay_hub_refusals_total counter\n");
	for (enum reason reason = REASON_NONE + 1; reason < REASON_MAX; reason++)
		buf_printf(out, "mainstay_hub_refusals_total{reason=\"%s\"} %ju\n", refuse_token(reason),
			(uintmax_t)refuse_count(reason));
	buf_printf(out,
		"# HELP mainstay_hub_batches_total Batches committed, and batches that came again.\n"
		"# TYPE mainstay_hub_batches_total counter\n"
		"mainstay_hub_batches_total{outcome=\"committed\"} %ju\n"
		"mainstay_hub_batches_total{outcome=\"seen\"} %ju\n"
		"# HELP mainstay_hub_batches_another_total Committed under a number that had other content: restored sites, clones.\n"
		"# TYPE mainstay_hub_batches_another_total counter\n"
		"mainstay_hub_batches_another_total %ju\n",
		(uintmax_t)batch_count_committed(), (uintmax_t)batch_count_seen(), (uintmax_t)batch_count_another());
	buf_printf(out,
		"# HELP mainstay_hub_inflight Requests not yet answered, long polls included.\n"
		"# TYPE mainstay_hub_inflight gauge\n"
		"mainstay_hub_inflight %zu\n",
		http_server_inflight(s->http));
	buf_printf(out,
		"# HELP mainstay_hub_customers_ailing Customers whose file cannot be used.\n"
		"# TYPE mainstay_hub_customers_ailing gauge\n"
		"mainstay_hub_customers_ailing %zu\n"
		"# HELP mainstay_hub_customer_ailing Such a customer, by name.\n"
		"# TYPE mainstay_hub_customer_ailing gauge\n",
		databases_ailing(s->databases, NULL, NULL));
	(void)databases_ailing(s->databases, put_ailing, out);
	for (size_t i = 0; i < s->n_modules; i++)
		if (s->config.modules[i]->metrics)
			s->config.modules[i]->metrics(s->states[i], out);
}
