/* For works that go on when a call was made to fail (calls_fail.c). */
#pragma once

#include <stdbool.h>

/* Is a call to fail, sooner or later? */
bool trouble_expected(void);
/* Will all that follow fail, too?  Then a work may give up. */
bool trouble_lasts(void);
/* Has one failed by now? */
bool trouble_met(void);
/* From here on (until false) it is the test itself that writes, or looks: nothing fails. */
void trouble_spare(bool on);

/* Do a step.  Where it fails because a call was made to: once more, and then once more after a restart, as whoever starts
 * daemons would; then it must be good, or, where the trouble lasts, false: the work is over.  The same where the restart
 * alone fails.  Ends the program where it fails for another reason, or does not recover. */
bool trouble_do(const char *name, int (*step)(void *arg), int (*restart)(void *arg), void *arg);
