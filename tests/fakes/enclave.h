/* A child in mount and user namespaces of its own, for what must be seen with other things mounted. */
#pragma once

/* Run fn(arg) in such a child, with every mount private.  Returns its result, 0 to 100, or -1 where this
 * kernel gives no namespaces (the test is to be skipped then).  fn asserts nothing, since the other tests
 * would go on in the child: each way to fail has a number of its own.  Folders are to be opened inside. */
int enclave_run(int (*fn)(void *arg), void *arg);

/* Inside: an empty file system over a folder. */
int enclave_cover(const char *path);

/* Inside: lower seen through an overlay at path, which is empty; what is written there lies in memory, on
 * another file system than lower, if that has room for it.  Returns 0 or -1 where this kernel has no overlays. */
int enclave_overlay(const char *path, const char *lower);
