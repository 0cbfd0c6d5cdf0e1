/* What says where telemetry goes, and what a receiver answers: by the first byte the telemetry section of mainstay.yaml (s),
 * a file of headers (h), or what an OTLP receiver says that it did not take (p). */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/ship/partial.h"
#include "telemetry/ship/ship_settings.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken can be sent to. */
static void
check_settings(const struct ship_settings *s)
{
	unsigned elsewhere = 0;

	if (s->n_destinations > DESTINATIONS_MAX || (s->bandwidth > 0 && s->bandwidth < 1024))
		abort();
	for (size_t i = 0; i < s->n_destinations; i++) {
		const struct destination_config *d = &s->destinations[i];

		if (!d->name[0] || !d->classes || (strncmp(d->url, "https://", 8) != 0 && !destination_is_near(d->url)) ||
			(d->headers_file[0] && d->headers_file[0] != '/') || (d->ca_file[0] && d->ca_file[0] != '/'))
			abort();
		for (size_t k = 0; k < i; k++)
			if (strcmp(d->name, s->destinations[k].name) == 0)
				abort();
		elsewhere |= d->instead ? d->classes : 0;
	}
	if (elsewhere != s->rules.elsewhere)
		abort();
	for (size_t i = 0; i < CLASS_MAX; i++)
		if (s->rules.hours[i].from >= 24 * 60 || s->rules.hours[i].to >= 24 * 60)
			abort();
}

static void
read_settings(const uint8_t *data, size_t size)
{
	struct ship_settings s;
	struct paths paths = { 0 };

	(void)snprintf(paths.etc, sizeof(paths.etc), "%s", folder_path);
	if (fs_replace(folder_fd(), "mainstay.yaml", data, size, 0644) != 0)
		abort();
	if (ship_settings_read(&s, &paths) == 0)
		check_settings(&s);
}

/* A request is begun, and no loop runs it. */
static void
read_headers(const uint8_t *data, size_t size)
{
	static struct destination_config config = { .name = "otel", .url = "http://127.0.0.1:1", .classes = 1 };
	static struct destination *d;
	static sd_event *loop;
	struct destination_call *call = NULL, *second = NULL;
	int r;

	if (!d) {
		(void)snprintf(config.headers_file, sizeof(config.headers_file), "%s/headers", folder_path);
		if (sd_event_new(&loop) < 0 || destination_new(&d, loop, &config) != 0)
			abort();
	}
	if (fs_replace(folder_fd(), "headers", data, size, 0600) != 0)
		abort();
	r = destination_send(&call, d, "/v1/metrics", "a/b", NULL, "x", 1, "", 0, NULL, NULL);
	if (r < 0 || (r == 0) != (call != NULL))
		abort();
	if (destination_send(&second, d, "/v1/logs", "a/b", "gzip", "x", 1, "http://127.0.0.1:2", 1, NULL, NULL) != r)
		abort();
	call = destination_cancel(call);
	second = destination_cancel(second);
	/* nobody else's to read, and there */
	if (fchmodat(folder_fd(), "headers", 0644, 0) != 0 ||
		destination_send(&call, d, "/", "a/b", NULL, "x", 1, "", 0, NULL, NULL) != REASON_DENIED ||
		unlinkat(folder_fd(), "headers", 0) != 0 ||
		destination_send(&call, d, "/", "a/b", NULL, "x", 1, "", 0, NULL, NULL) != REASON_NOT_FOUND)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	log_quiet_refusals(true);
	(void)folder_fd();
	if (size > 0 && data[0] == 's')
		read_settings(data + 1, size - 1);
	else if (size > 0 && data[0] == 'h')
		read_headers(data + 1, size - 1);
	else if (size > 0 && partial_rejected(data + 1, size - 1) > UINT32_MAX)
		abort();
	return 0;
}
