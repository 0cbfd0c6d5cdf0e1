#include "appliance/egress/retry.h"

enum retry
retry_verdict(int status, bool any_status, unsigned conflicts)
{
	if (status / 100 == 2)
		return RETRY_DONE;
	switch (status) {
	case 401:
	case 403:
	case 429:
	case 502:
	case 503:
	case 504:
		return RETRY_AGAIN;
	case 409:
		if (!any_status && conflicts < RETRY_CONFLICTS_MAX)
			return RETRY_AGAIN;
		break;
	default:
		break;
	}
	return any_status ? RETRY_DONE : RETRY_DROP;
}
