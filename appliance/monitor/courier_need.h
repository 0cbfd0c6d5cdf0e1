/* Under systemd the courier is a unit that need not run: with all three switches off there is no process that could reach the
 * network.  Its unit asks the off files (packaging/systemd); this starts it when a switch goes on and ends it when the last one
 * goes off.  Where `mainstay run` keeps it, it always runs, and sends nothing. */
#pragma once

struct monitor;

/* Its key belongs into what the site is about to tell the hub: it runs for COURIER_NEED_S from now, whatever the switches say,
 * and is marked by run/enrolling for its unit.  It sends nothing: what an enrolment sends the command does. */
void courier_need_key(struct monitor *m);
int courier_need_init(struct monitor *m);
