#include "remote/hub/hub_metrics.h"

#include <string.h>

#include "appliance/base/buf.h"

void
hub_metrics_put_openmetrics(struct buf *out, const char *text)
{
	static const char total[] = "_total";

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (strncmp(text, "# HELP ", 7) == 0 || strncmp(text, "# TYPE ", 7) == 0) {
			size_t name = strcspn(text + 7, " \n") + 7;

			if (name > 7 + sizeof(total) - 1 &&
				memcmp(text + name - (sizeof(total) - 1), total,
					sizeof(total) - 1) == 0)
				buf_put(out, text, name - (sizeof(total) - 1));
			else
				buf_put(out, text, name);
			buf_put(out, text + name, len - name);
		} else {
			buf_put(out, text, len);
		}
		buf_u8(out, '\n');
		text += len + (text[len] == '\n');
	}
	buf_puts(out, "# EOF\n");
}
