/* Alerts as the collector judged them, and what the collector may know.
 *
 *	collect.hello -> {"site","services":[{"name","release","dir","metrics","alerts"}],"fields":{...},
 *	                  "classes":{...},"switch":bool}; the same comes again as event "config"
 *	collect.secret {service secret} -> {"value"}: one that the metrics of the service's definition name
 *	alert         {name service state since text value} -> {}; leaf `alert` first, then status
 *	telemetry.accept (control) {field: FIELD...} -> {}; leaf `accept` for each
 *	alerts        (control) -> {"items":[{name service state since text value}]} firing now */
#pragma once

struct monitor;

int alarms_init(struct monitor *m);
