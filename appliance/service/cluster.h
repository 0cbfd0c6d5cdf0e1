/* cluster.yaml: the one desired state, written by people.
 *
 *	services:
 *	  redis:
 *	    channel: stable        # optional, "stable"
 *	    hold: true             # optional: no updates
 *	    update: auto           # optional, "ask": within windows, what needs no person's word
 *	    stopped: true          # optional: installed, but not to run
 *	    accepted: [info, ping] # optional: what the customer accepted, names or digests
 *	    knobs:                 # optional
 *	      maxmemory: 64mb
 *
 * cluster_read() parses the YAML with positions (in the judge and in commands; never in the
 * monitor); cluster_parse() reads the judge's canonical JSON.  Edits take the text and give the new
 * text, keeping comments and all lines they do not change. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct buf;

enum {
	CLUSTER_SERVICES_MAX = 64,
	CLUSTER_KNOBS_MAX = 64,
	CLUSTER_ACCEPTED_MAX = 256,
	CLUSTER_NAME_MAX = 64,
	CLUSTER_VALUE_MAX = 512,
};

struct cluster_knob {
	char name[CLUSTER_NAME_MAX + 1];
	char *value; /* owned; as text: numbers and truth values in their YAML form */
	unsigned line, column; /* of the value in the text; 0: not known */
};

struct cluster_service {
	char name[CLUSTER_NAME_MAX + 1];    /* [a-z][a-z0-9-]* */
	char channel[CLUSTER_NAME_MAX + 1]; /* "stable" where none was given */
	bool hold;
	bool automatic; /* update: auto */
	bool stopped;
	struct cluster_knob *knobs; /* owned; sorted by name */
	size_t n_knobs;
	char **accepted; /* owned */
	size_t n_accepted;
};

struct cluster {
	struct cluster_service *services; /* sorted by name */
	size_t n_services;
};

/* Parse YAML; file names it in refusals ("cluster.yaml:3:5").  An empty text is a cluster without
 * services. Returns 0, REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged with
 * place), or a fault. */
int cluster_read(struct cluster **ret, const void *p, size_t len, const char *file);
/* The canonical JSON of a cluster, what cluster_parse() reads. */
json_t *cluster_json(const struct cluster *c);
/* The same with the knobs' places, so that whoever checks their values can name them. */
json_t *cluster_json_placed(const struct cluster *c);
int cluster_parse(struct cluster **ret, const void *p, size_t len);
struct cluster *cluster_free(struct cluster *c);

const struct cluster_service *cluster_find(const struct cluster *c, const char *service);
/* The knob's value, or NULL. */
const char *cluster_knob(const struct cluster_service *s, const char *knob);
/* "cluster.yaml:5:18" of a knob's value, "cluster.yaml" where that is not known; in out, which it returns. */
const char *cluster_place(char *out, size_t len, const struct cluster_knob *k);

/* --- edits: text in, new text appended to out
 * ------------------------------------------------------------ They parse YAML and check what came
 * out.  Each may give REASON_MALFORMED, too: the text is no cluster.yaml, or is written in a form
 * (braces over lines) that only a person can edit. */
/* Does the text name the service?  As a file is before the monitor has read it. */
int cluster_names(bool *ret, const char *text, size_t len, const char *service);
/* Add service (channel may be NULL).  REASON_CONFLICT where it is there already. */
int cluster_install(struct buf *out, const char *text, size_t len, const char *service,
	const char *channel);
/* Remove it with its lines.  REASON_NOT_FOUND. */
int cluster_remove(struct buf *out, const char *text, size_t len, const char *service);
/* Set (value NULL: unset) a knob.  REASON_NOT_FOUND where the service is not there. */
int cluster_set(struct buf *out, const char *text, size_t len, const char *service,
	const char *knob, const char *value);
/* Set a member of the service itself: "hold", "stopped", "channel", "update" (value NULL: unset). */
int cluster_member(struct buf *out, const char *text, size_t len, const char *service,
	const char *member, const char *value);

/* Append the line difference of two texts, "-old" and "+new" lines with up to two unchanged lines
 * around. */
void cluster_difference(struct buf *out, const char *old_text, const char *new_text);
