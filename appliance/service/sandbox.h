/* A command line of bubblewrap, put together: what a sandboxed process sees is what was added here.
 *
 * The root is an empty tmpfs into which each top-level entry of the release's tree is bound
 * read-only, so that folders of ours can stand beside them whatever the tree holds; it is made
 * read-only at the end.  The process is PID 1 of its own PID namespace, has no capabilities and
 * cannot get any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child_spec;

enum { SANDBOX_ARGS_MAX = 512, SANDBOX_TOP_MAX = 64 };

#define SANDBOX_PROGRAM "/usr/bin/bwrap"

struct sandbox {
	char *args[SANDBOX_ARGS_MAX + 1]; /* owned; ends with NULL */
	size_t n;
	int error; /* sticks: 0, a reason, a fault */
};

/* Begin: namespaces, /proc, a minimal /dev, private /tmp, and tree.  network: share the host's,
 * else an empty one.  die_with_parent: gone when bubblewrap's parent dies. */
void sandbox_begin(struct sandbox *s, const char *tree, bool network, bool die_with_parent);
/* Bind host's folder src at dst. */
void sandbox_bind(struct sandbox *s, const char *src, const char *dst, bool writable);
/* What that descriptor holds, copied, as file dst that only its owner reads; not on any disk. */
void sandbox_secret(struct sandbox *s, int fd, const char *dst);
/* The two descriptors are /etc/passwd and /etc/group, whatever the tree has there; the rest of its /etc
 * stays.  After sandbox_begin() with the same tree. */
void sandbox_users(struct sandbox *s, const char *tree, int passwd_fd, int group_fd);
/* What those two hold: user name of that number, with /data as home, and nobody.  Each read by one
 * sandbox from its beginning.  Returns 0 with both the caller's to close, or a fault. */
int sandbox_users_files(int *ret_passwd, int *ret_group, const char *name, unsigned uid);
/* Set one variable of the otherwise empty environment, "NAME=value". */
void sandbox_env(struct sandbox *s, const char *assignment);
/* bubblewrap writes its JSON ("child-pid") to this descriptor. */
void sandbox_info_fd(struct sandbox *s, int fd);
/* The process inside, as this host numbers it, once what bubblewrap wrote there (NUL-terminated) says
 * it; 0 before.  That one is to be killed, never bubblewrap: killed too early, it leaves what it began
 * waiting for ever. */
pid_t sandbox_child_pid(const char *info);
/* The same, and {"exit-code"} at the end, unless the sandbox could not be built. */
void sandbox_status_fd(struct sandbox *s, int fd);
/* A compiled seccomp filter to load before the command. */
void sandbox_seccomp_fd(struct sandbox *s, int fd);
/* The command begins once sandbox_go() was called on this descriptor, which sandbox_gate() made. */
void sandbox_block_fd(struct sandbox *s, int fd);
/* A gate, closed.  It opens by sandbox_go() alone: where whoever holds it ends, what waits inside waits on.  (bubblewrap
 * reads one byte: at the end of a pipe it goes on, and from an eventfd it would not even wait.)  Each a fault. */
int sandbox_gate(int *ret_fd);
int sandbox_go(int gate);
/* End with the command (ends with NULL).  Returns 0; the first of the above that went wrong:
 * REASON_NOT_FOUND the tree is not there, REASON_UNSAFE_TREE its top level holds what is no folder,
 * file or link, REASON_TOO_LARGE (all logged); or a fault. */
int sandbox_end(struct sandbox *s, char *const *argv);
/* Does a program run in a sandbox like a service's here?  Tried, with a program that does nothing; spec says how the one who
 * asks starts its children (uid, groups, limits), borrowed.  Blocks, at most ten seconds. */
bool sandbox_runs(const struct child_spec *spec);
void sandbox_done(struct sandbox *s); /* s may be { 0 } */
