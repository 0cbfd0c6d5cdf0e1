#include "appliance/base/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
scope_free(void *p)
{
	void **where = p;

	free(*where);
	*where = NULL;
}

void
scope_close(int *fd)
{
	/* What must be on disk was synced before; close has nothing left to say. */
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void
scope_closedir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
	*d = NULL;
}
