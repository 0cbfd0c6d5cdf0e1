/* The services as they are shipped: what their operations owe to who approves one. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition.h"

static const char *const services[] = { "redis", "postgresql", "nginx", "nats" };

static struct definition *
shipped(const char *service)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(scope_close) int dir_fd = -1;
	struct definition *d = NULL;
	char path[128];

	(void)snprintf(path, sizeof(path), "packaging/services/%s", service);
	dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_read(dir_fd, "service.yaml", DEFINITION_BYTES_MAX, &text), 0);
	assert_int_equal(definition_compile(&d, buf_text(&text), text.len, "service.yaml", dir_fd), 0);
	return d;
}

/* A text has a pattern or a list, and an end; a number has two. */
static void
an_argument_is_bounded(const struct definition_operation *op, const struct definition_param *p)
{
	bool bounded = p->type == DEFINITION_BOOL || p->allowed || (p->has_max && (p->type == DEFINITION_TEXT || p->has_min));

	if (!bounded || (p->type == DEFINITION_TEXT && !p->allowed && !p->pattern) || !*p->help)
		fail_msg("%s: argument %s has no bounds, or no help", op->name, p->name);
}

/* Does it say what it does to the service, and what takes it back, if anything does?  Of a verb the appliance knows. */
static void
a_change_says_what_it_costs(const struct definition_operation *op)
{
	bool told = (op->downtime || op->verb != DEFINITION_VERB_NONE) && (op->undo || op->for_good);

	if (op->risk == DEFINITION_DESTROY && op->dry_run.n == 0)
		fail_msg("%s destroys, and has no dry run", op->name);
	if (op->risk == DEFINITION_OBSERVE ? op->undo || op->dry_run.n : !told)
		fail_msg("%s does not say its downtime and what undoes it, or only looks and says one", op->name);
}

static void
operations_say_what_they_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		SCOPED(definition_freep) struct definition *d = shipped(services[i]);
		size_t look = 0, change = 0;

		for (size_t j = 0; j < d->n_operations; j++) {
			const struct definition_operation *op = &d->operations[j];

			if (!*op->help || op->timeout_us == 0 || op->memory == 0 || op->output == 0)
				fail_msg("%s: %s has no help or no limits", services[i], op->name);
			for (size_t k = 0; k < op->n_args; k++)
				an_argument_is_bounded(op, &op->args[k]);
			a_change_says_what_it_costs(op);
			look += op->risk == DEFINITION_OBSERVE;
			change += op->risk != DEFINITION_OBSERVE;
		}
		assert_in_range(look, 8, DEFINITION_LIST_MAX);
		assert_in_range(change, 6, DEFINITION_LIST_MAX);
	}
}

/* What an engineer gives is one word of the program's: nowhere is it in the text that a shell takes for commands, which
 * stands in no definition. */
static void
no_argument_reaches_a_shell_as_commands(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(services); i++) {
		SCOPED(definition_freep) struct definition *d = shipped(services[i]);

		for (size_t j = 0; j < d->n_operations; j++) {
			const struct definition_operation *op = &d->operations[j];
			const struct definition_argv *all[] = { &op->argv, &op->dry_run };

			for (size_t k = 0; k < ARRAY_LEN(all); k++) {
				if (all[k]->n == 0 || strcmp(all[k]->item[0], "/usr/bin/dash") != 0)
					continue;
				assert_true(all[k]->n > 1);
				assert_int_equal(strncmp(all[k]->item[1], "/usr/lib/mainstay/", 18), 0);
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_say_what_they_do),
		cmocka_unit_test(no_argument_reaches_a_shell_as_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
