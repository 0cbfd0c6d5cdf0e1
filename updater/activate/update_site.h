/* Updates on the customer's side: a module of the monitor.
 *
 *	install, or a newer assignment -> metadata, assignment, objects (the courier's fetch, fetch_wire.h)
 *	-> every byte checked against signed metadata -> a change (change.h), step by step, journaled
 *
 *	service.install  service [channel]    PROGRESS {"step"...}; {"service","release","version","state","rights"}
 *	service.remove   service              {"service"}
 *	service.accept   service kind item... {"service","accepted":[...]}
 *	service.rights   service              what the running release asks for, and what of it was accepted
 *	update.check                          fetches, waits for it, and says what there is: update_found.h
 *	update.plan                           {"items":[rows of plan.h],"digest","fetching": what is still to come, in words; ""}
 *	update.apply     [plan again]               starts what the plan says; PROGRESS; {"items":[...]}
 *	update.status                         {"state","service","reason","text","last_change","held","counter","store"}
 *	update.history                        {"items":[{"time","service","from","to","outcome","reason"}]}
 *	update.hold update.unhold  [service]  nothing is applied while held; {"held"}
 *	update.rollback  service [restore] [show]  back to the release before; restore=yes: over the data of its snapshot;
 *	                                      show=yes: only says {"service","from","from_version","to","version",
 *	                                      "data":"same|one-way|restored|not-readable","lost_since","way_back","downtime","window"}
 *	update.assignment update.objects      the courier's (fetch_wire.h)
 *
 * A change that a command begins outside the maintenance hours (windows.updates) goes on: it is the customer's own
 * word; its leaf and the answer ("outside_window") say so, and update.plan and update.status say it before.
 *
 * A newer release of an installed service waits, staged, for update.apply: nothing changes by itself. */
#pragma once

struct monitor;

int update_site_init(struct monitor *m);
