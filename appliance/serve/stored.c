#include "appliance/serve/stored.h"

#include <errno.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"

int
stored_json(json_t **ret, const char *text)
{
	json_t *v;

	errno = 0;
	v = json_load_text(text, 0);
	if (!v && errno == ENOMEM)
		return FAULT(-ENOMEM);
	*ret = v;
	return 0;
}
