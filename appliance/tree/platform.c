#include "appliance/tree/platform.h"

#include <sys/utsname.h>

const char *
platform_text(void)
{
	static char text[PLATFORM_TEXT_MAX];
	struct utsname u;

	if (!text[0])
		snprintf(text, sizeof(text), "linux-%.32s", uname(&u) == 0 ? u.machine : "unknown");
	return text;
}
