#include "updater/release/release_findings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"

/* As far down as operand's steps go in the file. */
static const struct yaml_node *
node_of(const struct yaml_node *node, const char *operand)
{
	while (node && *operand) {
		const struct yaml_node *next = NULL;
		size_t n = strcspn(operand, ".");
		char step[128];

		(void)snprintf(step, sizeof(step), "%.*s", (int)n, operand);
		if (node->kind == YAML_KIND_MAPPING) {
			next = yaml_get(node, step);
		} else if (node->kind == YAML_KIND_SEQUENCE) {
			unsigned long i = strtoul(step, NULL, 10);

			for (next = node->children; next && i; i--)
				next = next->next;
		}
		if (!next)
			break;
		node = next;
		operand += n + (operand[n] == '.');
	}
	return node;
}

static void
add(struct release_findings *f, bool error, enum reason reason, const char *operand, const char *where,
	const char *text)
{
	json_t *one;

	errno = 0; /* where there is no memory malloc() sets it; text that is none leaves it */
	one = json_pack("{s:s, s:s, s:s, s:s}", "level", error ? "error" : "warning", "where",
		where, "operand", operand, "text", text);

	/* Text that is none (another encoding) is still a finding. */
	if (!one && errno != ENOMEM)
		one = json_pack("{s:s, s:s, s:s, s:s}", "level", error ? "error" : "warning", "where", "",
			"operand", "", "text", "something that is no UTF-8 is wrong here");
	if (error && one && json_object_set_new(one, "reason", json_string(refuse_token(reason))) < 0) {
		json_decref(one);
		one = NULL;
	}
	if (json_array_append_new(f->items, one) < 0)
		f->r = FAULT(-ENOMEM);
	if (error)
		f->errors++;
	else
		f->warnings++;
}

void
release_findings_refusal(struct release_findings *f, const struct refusal *why)
{
	add(f, true, why->reason, why->operand, *why->place ? why->place : f->file, why->text);
}

static void __attribute__((format(printf, 4, 0)))
add_at(struct release_findings *f, bool error, const char *operand, const char *fmt, va_list ap)
{
	const struct yaml_node *node = node_of(f->yaml, operand);
	char where[REFUSE_PLACE_MAX], text[REFUSE_TEXT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	if (node)
		yaml_place(where, sizeof(where), f->file, node);
	add(f, error, REASON_NOT_FOUND, operand, node ? where : f->file, text);
}

void
release_findings_warn(struct release_findings *f, const char *operand, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_at(f, false, operand, fmt, ap);
	va_end(ap);
}

void
release_findings_missing(struct release_findings *f, const char *operand, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_at(f, true, operand, fmt, ap);
	va_end(ap);
}
