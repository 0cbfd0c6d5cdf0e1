/* In the monitor: `mainstay telemetry accept`.
 *
 *	telemetry.accept   field=F...  (control) -> {"accepted":[F...]}; leaf `accept` for each, then the file
 *
 * Fields that no service's installation brings (the host's, a new release's) are kept under
 * ACCEPT_SITE_OWNER in lib/monitor/accepted.json; collect.hello names them with all others. */
#pragma once

struct monitor;

#define ACCEPT_SITE_OWNER "appliance"

int accept_site_init(struct monitor *m);
