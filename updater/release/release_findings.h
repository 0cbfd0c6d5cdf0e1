/* What lint has to say of a service's folder: a list of findings, each with its place. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct refusal;
struct yaml_node;

struct release_findings {
	json_t *items; /* [{"level","where","operand","reason","text"}]; owned */
	size_t errors, warnings;
	const char *file;	      /* "service.yaml" */
	const struct yaml_node *yaml; /* NULL while it is not parsed; borrowed */
	int r;			      /* 0; or a fault: something was found that is not among items */
};

/* A refusal, as the compiler or the payload gave it. */
void release_findings_refusal(struct release_findings *f, const struct refusal *why);

/* Something legal that is poor.  operand is the member ("operations.restart.help"): its place is that of the
 * nearest thing there is.  "" is the file. */
void release_findings_warn(struct release_findings *f, const char *operand, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, as an error with not-found. */
void release_findings_missing(struct release_findings *f, const char *operand, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
