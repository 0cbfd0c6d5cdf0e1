#include "appliance/service/driver.h"

int
driver_start(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	return d->ops->start(d, spec, done, arg);
}

int
driver_stop(struct driver *d, const char *service, driver_done_fn *done, void *arg)
{
	return d->ops->stop(d, service, done, arg);
}

int
driver_restart(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	return d->ops->restart(d, spec, done, arg);
}

int
driver_reload(struct driver *d, const struct spec *spec, driver_done_fn *done, void *arg)
{
	return d->ops->reload(d, spec, done, arg);
}

bool
driver_give_up(struct driver *d, const char *service)
{
	return d->ops->give_up(d, service);
}

struct driver *
driver_free(struct driver *d)
{
	return d ? d->ops->free(d) : NULL;
}
