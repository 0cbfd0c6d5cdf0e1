/* How far everything was read, as it stands in the note of a ledger record and in the file logs.cursor.
 *
 *	u8  version (1)
 *	u64 generation: of the newest logs.cursor when this was written
 *	u16 files, each:
 *	    u64 key of the source, u64 device, u64 inode, u8 length and u64 digest of its first bytes,
 *	    u64 offset of the first byte not yet read, u8 1: within a line that was cut,
 *	    u32 lines of a private key that may still follow (redact.h)
 *	u16 length, the journal's cursor; "": not read yet */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	LOG_CURSOR_FILES_MAX = 1024,
	LOG_CURSOR_JOURNAL_MAX = 512,
	LOG_CURSOR_BYTES_MAX = 1 + 8 + 2 + LOG_CURSOR_FILES_MAX * 46 + 2 + LOG_CURSOR_JOURNAL_MAX,
};

struct log_place {
	uint64_t key;
	uint64_t device, inode;
	uint8_t print_len; /* bytes that the digest is of: the file's first, at most LOG_FILE_PRINT_MAX */
	uint64_t print;
	uint64_t offset;
	bool cut;
	uint32_t secret_lines;
};

struct log_cursor {
	uint64_t generation;
	struct log_place *files; /* owned */
	size_t n_files;
	char journal[LOG_CURSOR_JOURNAL_MAX + 1];
};

void log_cursor_done(struct log_cursor *c);

/* Append it.  Errors stick in out. */
void log_cursor_put(struct buf *out, const struct log_cursor *c);

/* Read over *ret, which must be empty.  Returns 0, REASON_MALFORMED (logged), or a fault. */
int log_cursor_read(struct log_cursor *ret, const void *p, size_t len, const char *name);
