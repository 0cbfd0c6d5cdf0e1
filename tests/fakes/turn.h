/* One turn of a loop that wastes no time.  In a test's process every clock (clock_now_us(), clock_mono_us(), libsystemd's,
 * libcurl's; also of the processes it forks) runs as outside, and ahead by what turns have let pass: a turn that finds
 * nothing to do does not sleep out its time, it lets that pass, and timers that are due then run, in their order.
 * So what is tested are the periods and deadlines that ship, of any length, at no cost.
 *
 * clock_fake() is something else: it tells the code that ships what it wants, and no timer runs sooner. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

/* As sd_event_run(loop, us), where all that could happen is in this very process, so that nothing of it comes by waiting:
 * its timers, and what it told itself.  Returns > 0 where something was done. */
int turn_alone(sd_event *loop, uint64_t us);

/* The same beside other processes (a peer, children): they are given a part of the time in earnest, a tenth, so a second
 * passes here in 100 ms of theirs as long as they say nothing.  Under a sanitiser, a third. */
int turn_beside(sd_event *loop, uint64_t us);

/* turn_alone() until sd_event_exit(); returns its code. */
int turn_to_end(sd_event *loop);

/* Let time pass; nothing runs. */
void turn_pass(uint64_t us);
