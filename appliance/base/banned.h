/* Calls that have no place here: included by the compiler's command line before everything else,
 * so that naming one is a compile error.  What to use instead stands beside each. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

/* A parameter's name in OpenSSL's headers, so that only calling it can be banned. */
int rand(void) __attribute__((deprecated("use getrandom or clock_jitter")));

#undef alloca /* a macro of stdlib.h */

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
/* Macros of a fortified libc under clang. */
#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef stpcpy
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat stpcpy /* buf_put, snprintf */
#pragma GCC poison sprintf vsprintf gets                /* snprintf, buf_printf */
#pragma GCC poison atoi atol atoll atof                 /* number_u64, number_i64 */
#pragma GCC poison system popen                         /* child_spawn */
#pragma GCC poison strtok gmtime localtime ctime asctime /* cursor, clock_format */
#pragma GCC poison srand random srandom drand48         /* getrandom, clock_jitter */
#pragma GCC poison mktemp tmpnam tempnam                /* fs_replace, O_TMPFILE */
#endif
