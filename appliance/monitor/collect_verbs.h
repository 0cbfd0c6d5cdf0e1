/* What the collector may know, and what people decide that it tells on.
 *
 *	collect.hello (collect) -> {"site","services":[{"name","release","dir","metrics","logs","alerts"}],"fields":{...},
 *	                  "classes":{...},"switch":bool,"mutes":[...]}; the same comes again as event "config";
 *	                  and "standing":[alerts held to fire]: what of them does not is to be told as resolved
 *	collect.secret (collect) {service secret} -> {"value"}: one that the metrics of the service's definition name
 *	telemetry.accept (control) {field: "FIELD" | "FIELD SHAPE"...} -> {}; leaf `accept` for each
 *	telemetry.refuse (control) the same -> {}; leaf `accept` of "refuse FIELD" for each */
#pragma once

struct monitor;

/* Registers the verbs, and pushes "config" with each change of the monitor's; alarms_init() came before.  Returns 0 or a
 * fault. */
int collect_verbs_init(struct monitor *m);
