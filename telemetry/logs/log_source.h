/* One followed name: its file, and those renamed away from it that are not read to their end yet.  Inside of this
 * room only. */
#pragma once

#include "telemetry/logs/log_file.h"
#include "telemetry/logs/logs.h"

struct log_source {
	struct logs_source is; /* texts owned */
	struct log_batch_source from;
	uint64_t key;
	int dir_fd;			   /* -1: there is no such folder yet */
	int watch;			   /* of inotify, or -1 */
	struct log_file old[LOGS_OLD_MAX]; /* the oldest first */
	size_t n_old;
	uint64_t
		old_idle_us; /* boot time: when the oldest had been read as far as it goes; 0: it was not */
	struct log_file file;
	bool met; /* a place is kept for it, also where there is no file yet */
	bool allowed;
	bool dirty; /* there may be something to read */
	bool denied;
	uint64_t tail_size,
		tail_us; /* what the file held behind its last whole line, and since when (boot time) */
	uint32_t secret_lines;
	uint64_t lost;
};

/* What a place in the cursor is known by: a field, and what of it there. */
uint64_t log_source_key(const char *field, const char *in, const char *name);

/* Returns 0 or a fault. */
int log_source_new(struct log_source **ret, const struct logs_source *is);
struct log_source *log_source_free(struct log_source *s);
SCOPED_DESTRUCTOR(struct log_source, log_source_free)

bool log_source_is(const struct log_source *s, const struct logs_source *is);

/* Go on at these places (those of its key among n), or, where none is of it, at the end of what there is. */
int log_source_begin(struct log_source *s, const struct log_place *places, size_t n);
/* Forget places and files. */
void log_source_end(struct log_source *s);

/* Look what became of the name.  Returns 0 or a fault. */
int log_source_look(struct log_source *s, uint64_t mono_us);

/* Read once from the oldest file that has something.  *ret_read: bytes; 0: there is nothing now.  Results as
 * log_file_read(). */
int log_source_read(struct log_source *s, const struct log_reading *how, uint64_t mono_us,
	size_t *ret_read);

/* Boot time at which a line that may be continued is to be read all the same; 0: there is none. */
uint64_t log_source_wants_us(const struct log_source *s);

/* Append its places, at most LOGS_OLD_MAX + 1. */
size_t log_source_places(const struct log_source *s, struct log_place *out);
/* Back to these places, where their files are still open. */
void log_source_rewind(struct log_source *s, const struct log_place *places, size_t n);

/* The last line there is, up to size - 1 bytes, as it stands there. */
size_t log_source_example(struct log_source *s, char *out, size_t size);
