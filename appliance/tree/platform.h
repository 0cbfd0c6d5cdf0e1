/* The platform that a tree of programs is for: "linux-x86_64", from uname.  Release build writes it into a
 * target's custom.platform, a site states its own, and only equal ones meet. */
#pragma once

enum { PLATFORM_TEXT_MAX = 65 };

/* This machine's, static text. */
const char *platform_text(void);
