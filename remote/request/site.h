/* Requests on the customer's side: a module of the monitor.
 *
 * Registers mailbox.deliver (courier) and requests.list/show/approve/deny/import/watch (control),
 * reads what a crash left, and then moves each request through its flow: leafs, plan, permit, one
 * run, result.
 *
 *	requests.list                          {"items":[{id state service operation engineer ...}]}
 *	requests.show     id [approver|key]    {"item":{... plan text permit(text to sign)}}
 *	requests.approve  id sig, body = the signed bytes      {"item"}
 *	requests.deny     id reason            {"item"}
 *	requests.import   body = envelope      {"item"}
 *	requests.watch                         PROGRESS item at each change until the caller goes
 *	mailbox.deliver   n, body = envelope   {} once it is durable */
#pragma once

struct monitor;

/* Start.  The module lives as long as the monitor.  Returns 0 or a fault. */
int request_site_init(struct monitor *m);
