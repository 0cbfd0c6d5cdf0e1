/* What the files of definition share.  Not for other rooms. */
#pragma once

#include "appliance/base/yaml.h"
#include "appliance/service/definition.h"

/* A definition being read: the first refusal or fault sticks, so that the parser reads straight down.  Where
 * somebody hears all refusals only a fault sticks (in r): a reader that refused gives its default, and whoever
 * uses it lives with that. */
struct definition_reader {
	definition_fault_fn *fn; /* NULL: the first refusal is the last */
	void *fn_arg;
	int first; /* refusal that fn heard */
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
/* Keep the first refusal, or tell it. */
void definition_stick(const struct definition_at *a, int r);

/* Nothing more is said once something stuck. */
#define DEFINITION_BAD(a, ...)                                                                     \
	((a)->rd->r ? (void)0                                                                      \
		    : definition_stick((a), REFUSE_AT(REASON_MALFORMED, (a)->path,                 \
						    definition_place(a), __VA_ARGS__)))

/* The readers below give a default (NULL, 0) once an error stuck.  need: absent is an error. */
const char *definition_text(const struct definition_at *a, const char *name, bool need, size_t max);
const char *definition_text_here(const struct definition_at *a, size_t max);
/* Is a text of at most DEFINITION_VALUE_MAX bytes shown as it is: no control character, no mark that hides
 * letters or changes their direction? */
bool definition_is_visible(const char *text);
/* The list name of texts, each 1 to max bytes and (where check is not NULL) found good by it. */
const json_t *definition_texts(const struct definition_at *a, const char *name, size_t max_n, size_t max,
	bool (*check)(const char *text), const char *what);
uint64_t definition_span(
	const struct definition_at *a, const char *name, const char *fallback, uint64_t max_us);
/* The bound of a span that may also be "0s"; absent: 0. */
uint64_t definition_span_or_none(const struct definition_at *a, const char *name, uint64_t max_us);
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
/* Refuse members that are not known.  false where it is no mapping at all: nothing in it need be read. */
bool definition_known(const struct definition_at *a, const char *const *known, size_t n_known);
/* [A-Za-z0-9_-], beginning with a letter. */
bool definition_is_name(const char *text);
bool definition_is_word(const char *text); /* [a-z0-9.+~-], beginning with a letter or digit */

/* A relative path without steps that begin with ".". */
bool definition_is_below(const char *path);
/* n things, zeroed; NULL where n is 0, an error stuck, or (which then sticks) there is no memory. */
void *definition_array(const struct definition_at *a, size_t n, size_t size);

/* What a template may name (definition_template.c). */
struct definition_scope {
	const struct definition *d;
	const struct definition_operation *op; /* its arguments; NULL: none */
	const json_t *secrets;		       /* the names of those it is given; NULL: none */
	bool all_secrets, prepare, snapshot;
};

/* configuration files (definition_config.c) */
void definition_read_config(const struct definition_at *a, struct definition *d);

/* what a release is made of (definition_payload.c) */
void definition_read_payload(const struct definition_at *a, struct definition *d);

/* metrics, logs (definition_watch.c) */
void definition_read_metrics(const struct definition_at *a, struct definition *d);
void definition_read_logs(const struct definition_at *a, struct definition *d);
/* alerts (definition_alert.c) */
void definition_read_alerts(const struct definition_at *a, struct definition *d);

/* knobs and arguments (definition_param.c) */
void definition_read_param(
	const struct definition_at *a, const char *name, bool knob, struct definition_param *p);
/* One value against its type; normal form in *ret (new).  operand for the refusal. */
int definition_check_value(
	const struct definition_param *p, const json_t *v, const char *operand, json_t **ret);

/* argv lists and what runs them (definition_run.c) */
void definition_read_argv(const struct definition_at *a, const char *name, bool need,
	struct definition_argv *argv);
void definition_read_run(const struct definition_at *a, struct definition *d); /* exec stop reload
	prepare hooks network limits requires */
void definition_read_secrets(const struct definition_at *a, struct definition *d);
const json_t *definition_read_uses(const struct definition_at *a, const struct definition *d);

/* An address that is asked for health or numbers: a socket in the run folder, or a port, which somebody
 * outside of the service's own network would answer where it has none. */
void definition_check_socket(
	const struct definition_at *a, const char *template, const struct definition_scope *scope);
void definition_check_port(
	const struct definition_at *a, const char *template, const struct definition_scope *scope);
void definition_read_health(const struct definition_at *a, struct definition *d);
void definition_read_operations(const struct definition_at *a, struct definition *d);
void definition_read_data(const struct definition_at *a, struct definition *d);
/* A list of knobs or arguments; how many. */
size_t definition_read_params(
	const struct definition_at *map, bool knobs, struct definition_param **ret);

/* Templates (definition_template.c).  Refuse names that could never be known. */
void definition_check_template(
	const struct definition_at *a, const char *template, const struct definition_scope *scope);
void definition_check_argv(const struct definition_at *a, const char *name,
	const struct definition_argv *argv, const struct definition_scope *scope);

/* One value; a size or a span is the number of p's units (p NULL: bytes, the span's text). */
void definition_put_value(struct buf *out, const struct definition_param *p, const json_t *v);

/* templates of configuration (definition_render.c) */
void definition_check_config(const struct definition_at *a, const struct definition_config *config,
	const struct definition *d);
extern const char *const definition_formats[];
enum { DEFINITION_FORMATS = 8 };
