/* Locals that clean themselves.
 *
 *	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
 *	SCOPED(scope_free) char *s = strdup(x);
 *	SCOPED(scope_close) int fd = open(...);
 *	*ret_s = STEAL(s);
 *
 * A destructor named here takes a pointer to the variable, accepts the empty value (NULL, -1) and
 * half-built objects. */
#pragma once

#include <dirent.h>

#define SCOPED(fn) __attribute__((cleanup(fn)))

/* Hand a pointer on: the variable is left NULL, so that its destructor finds nothing. */
#define STEAL(p)                                                                                   \
	({                                                                                         \
		__typeof__(p) stolen_ = (p);                                                       \
		(p) = NULL;                                                                        \
		stolen_;                                                                           \
	})

/* The same for a descriptor. */
#define STEAL_FD(fd)                                                                               \
	({                                                                                         \
		int stolen_ = (fd);                                                                \
		(fd) = -1;                                                                         \
		stolen_;                                                                           \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Declares NAME_freep for a destructor `struct T *NAME_free(struct T *)`. */
#define SCOPED_DESTRUCTOR(type, fn)                                                                \
	static inline void fn##p(type **p)                                                         \
	{                                                                                          \
		if (*p)                                                                            \
			*p = fn(*p);                                                               \
	}

void scope_free(void *p);      /* p: address of a malloc'ed pointer */
void scope_close(int *fd);     /* closes *fd when it is >= 0 */
void scope_closedir(DIR **d);  /* and this one where it is not NULL */
