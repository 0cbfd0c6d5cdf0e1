/* Alerts as the collector judged them, and what the collector may know.
 *
 *	collect.hello -> {"site","services":[{"name","release","dir","metrics","alerts"}],"fields":{...},
 *	                  "classes":{...},"switch":bool,"mutes":[...]}; the same comes again as event "config";
 *	                  and "standing":[alerts held to fire]: what of them does not is to be told as resolved
 *	collect.secret {service secret} -> {"value"}: one that the metrics of the service's definition name
 *	alert         {name service group state(firing|muted|resolved) since severity text value muted_by
 *	              operation} -> {}; leaf `alert` first, then status; name, service and group are its identity
 *	telemetry.accept (control) {field: "FIELD" | "FIELD SHAPE"...} -> {}; leaf `accept` for each
 *	telemetry.refuse (control) the same -> {}; leaf `accept` of "refuse FIELD" for each
 *	alerts        (control) -> {"site","items":[{name service group state ...}],"mutes":[...]} firing or muted now */
#pragma once

struct monitor;

int alarms_init(struct monitor *m);
