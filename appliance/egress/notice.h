/* Who says that there is something to ship: inotify, of the folders of the streams.
 *
 * Only quicker and cheaper than looking: what it does not hear of (a folder that went, a kernel without room for another
 * watch) is found by those who look at every tick as long as notice_hears() says no, and now and then where it says yes. */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"

struct notice;

enum {
	NOTICE_GATHER_MS = 50, /* one turn for all that happens within; by then its writer has made it durable */
	NOTICE_LOOK_S = 15,    /* and still a look, so often */
};

/* One that wants to hear; zero at first, in the struct of its owner. */
struct notice_ear {
	struct notice *notice;
	struct notice_ear *next;
	int wd;
	bool of_stream; /* of the stream's folder, not of the one that it will be made in */
	bool heard;
	loop_fn *fn;
	void *arg;
};

int notice_new(struct notice **ret, sd_event *loop);
struct notice *notice_free(struct notice *n); /* its ears are deaf from then on */
SCOPED_DESTRUCTOR(struct notice, notice_free)

/* From now on fn(arg) runs from the loop, soon after anything was written in dir/stream.  Begun again at will: where the
 * stream's folder is not there yet, its making is heard.  dir is absolute. */
void notice_listen(struct notice *n, struct notice_ear *ear, const char *dir, const char *stream, loop_fn *fn,
	void *arg);
void notice_deafen(struct notice_ear *ear);

/* Whether what is written next will be heard. */
bool notice_hears(const struct notice_ear *ear);
