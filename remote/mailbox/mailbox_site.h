/* The mailbox on the customer's side: a module of the courier.  Polls while the remote switch is on, hands each
 * item to the monitor, and acknowledges it to the hub only after the monitor has it on its disk.  Results go
 * the other way by the monitor's outbox (stream "results"), not through here. */
#pragma once

struct carrier;

int mailbox_site_init(struct carrier *c);
