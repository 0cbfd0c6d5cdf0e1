/* What never arrived: the courier's event as the collector takes it, and the file that is kept.  What is taken is kept
 * as it was told, and read again. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "telemetry/spool/missing.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t n;
	json_t *counts;
};

static void
see(const char *stream, const char *what, uint64_t n, uint64_t since_us, void *arg)
{
	struct seen *s = arg;

	(void)stream;
	(void)since_us;
	if (!*what || (s->counts && (uint64_t)json_integer_value(json_object_get(s->counts, what)) != n))
		abort();
	s->n++;
}

static void
forget(void)
{
	static const char *const names[] = { "alerts.missing", "metrics.missing", "logs.missing", "inventory.missing" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlinkat(folder_fd(), names[i], 0); /* there may be none */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen s = { 0 };
	char *text;

	log_quiet_refusals(true);
	forget();
	if (size > 0 && data[0] == '=') { /* a file */
		if (fs_replace(folder_fd(), "metrics.missing", data + 1, size - 1, 0640) != 0)
			abort();
		missing_each(folder_fd(), see, &s);
		return 0;
	}
	text = strndup((const char *)data, size);
	if (text && missing_take(folder_fd(), text) == 0) {
		SCOPED_JSON *doc = json_loads(text, 0, NULL);
		SCOPED(scope_free) char *again = NULL;
		json_t *v;
		const char *what;
		size_t n = 0;

		s.counts = json_object_get(doc, "counts");
		json_object_foreach (s.counts, what, v)
			n += json_is_integer(v);
		missing_each(folder_fd(), see, &s);
		again = missing_write(json_string_value(json_object_get(doc, "stream")), s.counts);
		if (s.n != n || !again || missing_take(folder_fd(), again) != 0)
			abort();
	}
	free(text);
	return 0;
}
