/* What the files of calls.so share.
 *
 *	calls.c       the record of what was called, and the end after so many
 *	calls_name.c  calls that give names and take them
 *	calls_byte.c  calls that write, and that make durable
 *	calls_fail.c  calls that are made to fail */
#pragma once

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define ALIAS(name) __attribute__((alias(#name)))

/* The program that this is loaded into may have names of its own. */
#pragma GCC visibility push(hidden)

/* The C library's syscall(): ours, below, is what beneath_open() calls. */
#define raw(...) calls_real()(__VA_ARGS__)
typedef long syscall_fn(long number, ...);
syscall_fn *calls_real(void);

extern int calls_record; /* below 0: nothing is recorded */
extern pthread_mutex_t calls_turn;

static inline void
pass_turn(int *held)
{
	(void)held;
	(void)pthread_mutex_unlock(&calls_turn);
}

#define TAKE_TURN __attribute__((cleanup(pass_turn), unused)) int turn_is_ours = pthread_mutex_lock(&calls_turn)

/* Append to the record. */
void calls_put(const void *p, size_t len);
void calls_count(void);			   /* one more call */
void calls_count_name(unsigned long dir); /* a name in this folder came or went */
/* Where fd lies below the folder, in path; NULL where it does not. */
const char *calls_below(int fd, char path[PATH_MAX]);
unsigned long calls_inode(int fd);
/* The folder that name lies in and its last part; false where it is not one of ours. */
bool calls_split(int dir_fd, const char *name, unsigned long *ret_dir, const char **ret_base);

/* What a call is that is made to fail: what only looks, what gives a name or a byte, what makes them durable. */
enum calls_kind { CALLS_OPEN, CALLS_CREATE, CALLS_WRITE, CALLS_SIZE, CALLS_SYNC, CALLS_NAME, CALLS_REMOVE, CALLS_MODE };

/* true where the caller is to fail now, with errno as it is set then. */
bool calls_fails(enum calls_kind kind, int fd);
bool calls_fails_at(enum calls_kind kind, int dir_fd, const char *name);
/* The same of a write; where it takes but a part of them, *len is that. */
bool calls_fails_write(int fd, size_t *len);
/* A descriptor that was opened just now; below 0: none. */
void calls_opened(int fd);

#pragma GCC visibility pop

#define SAY(...)                                                                                   \
	do {                                                                                       \
		LINE(__VA_ARGS__);                                                                 \
		calls_count();                                                                     \
	} while (0)

#define LINE(...)                                                                                  \
	do {                                                                                       \
		char say_line[2 * PATH_MAX];                                                       \
		int say_len = snprintf(say_line, sizeof(say_line), __VA_ARGS__);                   \
		calls_put(say_line, (size_t)say_len);                                              \
	} while (0)
