#include "updater/release/release_programs.h"

#include <stdio.h>

#include "appliance/service/definition.h"
#include "appliance/tree/index.h"

struct search {
	const struct tree_index *x;
	release_programs_fn *fn;
	void *arg;
};

static int
look(const struct search *s, const struct definition_argv *argv, const char *member)
{
	const struct tree_entry *e;

	if (argv->n == 0)
		return 0;
	e = tree_index_resolve(s->x, argv->item[0] + 1);
	if (e && e->type == TREE_TYPE_FILE && (e->mode & 0111))
		return 0;
	return s->fn(member, argv->item[0], s->arg);
}

static int
look_in_operations(const struct search *s, const struct definition *d)
{
	char member[2 * DEFINITION_NAME_MAX];
	int r = 0;

	for (size_t i = 0; !r && i < d->n_operations; i++) {
		const struct definition_operation *op = &d->operations[i];

		(void)snprintf(member, sizeof(member), "operations.%s.argv", op->name);
		r = look(s, &op->argv, member);
		(void)snprintf(member, sizeof(member), "operations.%s.dry_run", op->name);
		r = r ?: look(s, &op->dry_run, member);
	}
	return r;
}

int
release_programs_missing(
	const struct definition *d, const struct tree_index *x, release_programs_fn *fn, void *arg)
{
	const struct search s = { x, fn, arg };
	char member[64];
	int r = look(&s, &d->exec, "exec");

	r = r ?: look(&s, &d->health.argv, "health.argv");
	r = r ?: look(&s, &d->reload.argv, "reload.argv");
	r = r ?: look(&s, &d->prepare.argv, "prepare.argv");
	for (int i = 0; !r && i < DEFINITION_HOOK_MAX; i++) {
		(void)snprintf(member, sizeof(member), "hooks.%s.argv",
			definition_hook_text((enum definition_hooks)i));
		r = look(&s, &d->hooks[i].argv, member);
	}
	return r ?: look_in_operations(&s, d);
}
