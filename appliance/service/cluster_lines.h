/* cluster.yaml as the lines that a person wrote, and its tree beside them.  For cluster_edit.c. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CLUSTER_LINES_FILE "cluster.yaml"

struct buf;
struct yaml_node;

enum { CLUSTER_LINES_STEP = 2 }; /* columns of one more level, where nothing shows another habit */

struct cluster_line {
	const char *p;
	size_t len; /* with its newline */
};

/* The text in lines, and its tree; lines are numbered from 1 as the tree's are. */
struct cluster_lines {
	struct cluster_line *lines;
	size_t n;
	struct yaml_node *root; /* NULL where there is no document */
	const char *eol; /* as the first line ends */
	json_t *want; /* owned; the cluster it says, which each edit changes to what is to come out */
};

/* Take the text apart (borrowed; *t begins as { 0 } and ends with cluster_lines_done()).  Returns 0,
 * cluster_read()'s refusals, REASON_MALFORMED (logged) where its lines are not ours, or a fault. */
int cluster_lines_open(struct cluster_lines *t, const char *p, size_t len);
void cluster_lines_done(struct cluster_lines *t);

/* Append lines from..to, counted from 1. */
void cluster_lines_put(struct buf *out, const struct cluster_lines *t, size_t from, size_t to);
void cluster_lines_put_indent(struct buf *out, size_t n);
void cluster_lines_put_value(struct buf *out, const char *v); /* quoted where it needs it */
size_t cluster_lines_child_indent(const struct yaml_node *map);

/* Append the whole text with one change; these return 0, or cluster_lines_by_hand()'s refusal where what is to be
 * changed is written in a form that lines cannot change. */
int cluster_lines_insert(struct buf *out, const struct cluster_lines *t,
	const struct yaml_node *map, const struct buf *body); /* body as the last of map */
int cluster_lines_replace(struct buf *out, const struct cluster_lines *t, const struct yaml_node *n,
	const char *value);
/* n of map; and the key of map with it where alone says so and nothing else is in it. */
int cluster_lines_leave_out(struct buf *out, const struct cluster_lines *t,
	const struct yaml_node *map, const struct yaml_node *n, bool alone);
/* REASON_MALFORMED (logged), with the place of n (NULL: none can be named). */
int cluster_lines_by_hand(const char *what, const struct yaml_node *n);
