/* Shipping the monitor's outbox: heartbeats, results, heads of the audit log.  What the hub answers goes back to
 * the monitor whole, signature and all, so that it checks the hub's word itself. */
#pragma once

struct carrier;

int outbox_ship_init(struct carrier *c);
