/* What the files of definition share.  Not for other rooms. */
#pragma once

#include "appliance/base/yaml.h"
#include "appliance/service/definition.h"

/* A definition being read: the first refusal or fault sticks, so that the parser reads straight down. */
struct definition_reader {
	const struct yaml_node *yaml; /* NULL: from JSON */
	const char *file;	      /* of yaml */
	int dir_fd;		      /* where its templates are */
	int r;
	char place[256];
};

/* A value and where it stands. */
struct definition_at {
	struct definition_reader *rd;
	const struct yaml_node *node; /* may be NULL */
	json_t *v;		      /* borrowed; NULL: absent */
	char path[160];		      /* "knobs.maxmemory.min" */
};

struct definition_at definition_member(const struct definition_at *a, const char *name);
struct definition_at definition_item(const struct definition_at *a, size_t i);
/* "service.yaml:12:5", or "" from JSON. */
const char *definition_place(const struct definition_at *a);
/* Keep the first refusal. */
void definition_stick(const struct definition_at *a, int r);

#define DEFINITION_BAD(a, ...)                                                                     \
	definition_stick(                                                                          \
		(a), REFUSE_AT(REASON_MALFORMED, (a)->path, definition_place(a), __VA_ARGS__))

/* The readers below give a default (NULL, 0) once an error stuck.  need: absent is an error. */
const char *definition_text(const struct definition_at *a, const char *name, bool need, size_t max);
const char *definition_text_here(const struct definition_at *a, size_t max);
uint64_t definition_span(
	const struct definition_at *a, const char *name, const char *fallback, uint64_t max_us);
uint64_t definition_size(
	const struct definition_at *a, const char *name, uint64_t fallback, uint64_t max);
int64_t definition_int(const struct definition_at *a, const char *name, int64_t fallback,
	int64_t min, int64_t max);
/* One of words; its number, or 0.  Absent: fallback, or an error where that is NULL. */
unsigned definition_word(const struct definition_at *a, const char *name, const char *const *words,
	size_t n_words, const char *fallback);
/* The number of entries; an error where it is no list (map), or has more than max. */
size_t definition_list(const struct definition_at *a, size_t max);
size_t definition_map(const struct definition_at *a, size_t max);
/* Refuse members that are not known. */
void definition_known(const struct definition_at *a, const char *const *known, size_t n_known);
/* [A-Za-z0-9_-], beginning with a letter. */
bool definition_is_name(const char *text);

/* A relative path without steps that begin with ".". */
bool definition_is_below(const char *path);
/* n things, zeroed; NULL where n is 0, an error stuck, or (which then sticks) there is no memory. */
void *definition_array(const struct definition_at *a, size_t n, size_t size);

/* configuration files (definition_config.c) */
void definition_read_config(const struct definition_at *a, struct definition *d);

/* what a release is made of (definition_payload.c) */
void definition_read_payload(const struct definition_at *a, struct definition *d);

/* metrics, logs, alerts (definition_watch.c) */
void definition_read_metrics(const struct definition_at *a, struct definition *d);
void definition_read_logs(const struct definition_at *a, struct definition *d);
void definition_read_alerts(const struct definition_at *a, struct definition *d);

/* knobs and arguments (definition_param.c) */
void definition_read_param(
	const struct definition_at *a, const char *name, bool knob, struct definition_param *p);
/* One value against its type; normal form in *ret (new).  operand for the refusal. */
int definition_check_value(
	const struct definition_param *p, const json_t *v, const char *operand, json_t **ret);

/* templates (definition_template.c): refuse names that could never be known.  op NULL: no arguments */
void definition_check_template(const struct definition_at *a, const char *template, bool config,
	const struct definition *d, const struct definition_operation *op);
