/* Leaves that are counted first, and the copies of leaves in the host's own logs. */
#include "appliance/monitor/leaf.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>

#include "tests/fakes/sync_fails.h"
#include "tests/unit/appliance/monitor/site.h"

#define NOW (UINT64_C(1795000000) * CLOCK_US_PER_S)

static int
set_up(void **state)
{
	clock_fake(NOW, 5000 * CLOCK_US_PER_S);
	return site_set_up(state);
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}

static int
stranger(struct site_test *t)
{
	return monitor_leaf_tallied(t->m, "refuse", "", NULL, "x", NULL, REASON_BAD_SIGNATURE);
}

/* --- counted --------------------------------------------------------------------------------------- */
static void
ten_thousand_refusals_are_two_leaves(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);

	for (int i = 0; i < 10000; i++)
		assert_int_equal(stranger(t), 0);
	assert_int_equal(audit_size(t->m->audit), before + 1);
	assert_int_equal(leaf_flush(t->m, false), 0);
	assert_int_equal(audit_size(t->m->audit), before + 1);
	clock_fake(NOW + 60 * CLOCK_US_PER_S, 5060 * CLOCK_US_PER_S);
	assert_int_equal(leaf_flush(t->m, false), 0);
	assert_int_equal(audit_size(t->m->audit), before + 2);
	assert_string_equal(site_last_leaf(t), "refuse 9999 more bad-signature");
	assert_int_equal(leaf_flush(t->m, true), 0);
	assert_int_equal(audit_size(t->m->audit), before + 2);
}

static void
what_was_counted_before_a_crash_is_a_leaf_after_it(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);

	for (int i = 0; i < 5; i++)
		assert_int_equal(stranger(t), 0);
	assert_int_equal(leaf_flush(t->m, false), 0); /* as each second */
	t->m->tally = (struct tally){ 0 };	      /* and then it was killed */
	site_restart(t);
	assert_int_equal(leaf_flush(t->m, false), 0);
	assert_int_equal(audit_size(t->m->audit), before + 2);
	assert_string_equal(site_last_leaf(t), "refuse 4 more bad-signature");
	/* Once. */
	t->m->tally = (struct tally){ 0 };
	site_restart(t);
	assert_int_equal(leaf_flush(t->m, true), 0);
	assert_int_equal(audit_size(t->m->audit), before + 2);
}

static void
an_orderly_end_leaves_nothing_counted(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);

	for (int i = 0; i < 5; i++)
		assert_int_equal(stranger(t), 0);
	site_restart(t);
	assert_int_equal(audit_size(t->m->audit), before + 2);
	assert_string_equal(site_last_leaf(t), "refuse 4 more bad-signature");
}

static void
a_damaged_count_does_not_keep_the_monitor_down(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);

	assert_int_equal(fs_replace(t->m->dir_fd, "tally.json", "{\"v\":9}", 7, 0600), 0);
	site_restart(t);
	assert_int_equal(leaf_flush(t->m, true), 0);
	assert_int_equal(audit_size(t->m->audit), before);
}

/* --- committed ------------------------------------------------------------------------------------- */
/* What the checkpoint in the folder says of the size. */
static uint64_t
signed_size(struct site_test *t)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	const char *line;

	assert_int_equal(fs_read(t->m->lib_fd, "audit/checkpoint", 4096, &b), 0);
	line = strchr(buf_text(&b), '\n');
	assert_non_null(line);
	return strtoull(line + 1, NULL, 10);
}

static void
leaves_of_one_moment_are_signed_for_together_and_soon(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);

	assert_int_equal(audit_commit(t->m->audit), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(monitor_leaf(t->m, "start", "anna", "x", NULL, REASON_NONE), 0);
	assert_int_equal(audit_size(t->m->audit), before + 3);
	assert_int_equal(signed_size(t), before);
	for (int i = 0; i < 100 && signed_size(t) == before; i++)
		assert_true(sd_event_run(t->loop, 50 * 1000) >= 0);
	assert_int_equal(signed_size(t), before + 3);
	assert_null(t->m->commit);
	assert_int_equal(monitor_leaf(t->m, "end", "anna", "x", NULL, REASON_NONE), 0);
	site_restart(t);
	assert_int_equal(signed_size(t), before + 4);
}

/* --- copies ---------------------------------------------------------------------------------------- */
/* A reader of datagrams at dir/name. */
static int
listen_at(struct site_test *t, const char *name, char path[256])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(path, 256, "%s/%s", t->dir.path, name);
	assert_true(strlen(path) < sizeof(addr.sun_path));
	memcpy(addr.sun_path, path, strlen(path) + 1);
	(void)unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static const char *
heard(int fd)
{
	static char text[16384];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = 0;
	return text;
}

static void
listen_with(struct site_test *t, const char *journal, const char *syslog)
{
	copies_done(&t->m->copies);
	copies_init(&t->m->copies, journal, syslog, audit_size(t->m->audit));
}

static void
a_leaf_is_in_the_journal_under_its_fields(void **state)
{
	struct site_test *t = *state;
	char journal[256], syslog[256];
	int jfd = listen_at(t, "journal", journal), sfd = listen_at(t, "log", syslog);
	const char *text;

	listen_with(t, journal, syslog);
	copies_say(&t->m->copies, "site1",
		&(struct audit_entry){ .n = 41,
			.time_us = NOW,
			.kind = AUDIT_REFUSE,
			.actor = "mallory",
			.object = "r-1\nMAINSTAY_KIND=permit\033[2J",
			.digest = "sha256:ab",
			.reason = "replayed" });
	text = heard(jfd);
	assert_non_null(strstr(text, "\nMAINSTAY_LEAF=41\n"));
	assert_non_null(strstr(text, "\nMAINSTAY_KIND=refuse\n"));
	assert_non_null(strstr(text, "\nMAINSTAY_ACTOR=mallory\n"));
	assert_non_null(strstr(text, "\nMAINSTAY_REASON=replayed\n"));
	assert_non_null(strstr(text, "\nMAINSTAY_DIGEST=sha256:ab\n"));
	assert_non_null(strstr(text, "\nMESSAGE_ID=e344179dc18d407bb3f665c393a1e185\n"));
	assert_non_null(strstr(text, "\nPRIORITY=4\n"));
	assert_true(strncmp(text, "MESSAGE=leaf ", 13) == 0);
	/* What a stranger wrote makes no field and reaches no terminal. */
	assert_null(strstr(text, "\nMAINSTAY_KIND=permit"));
	assert_null(strchr(text, '\033'));
	assert_string_equal(heard(sfd), ""); /* where there is a journal, syslog is its own */
	(void)close(jfd);
	(void)close(sfd);
}

static void
without_a_journal_it_is_in_syslog_as_rfc_5424_has_it(void **state)
{
	struct site_test *t = *state;
	char syslog[256];
	int fd = listen_at(t, "log", syslog);
	const char *text;

	listen_with(t, "/nowhere/journal", syslog);
	assert_int_equal(monitor_leaf(t->m, "accept", "uid:0", "a \"b\" ]c\\", NULL, REASON_NONE),
		0);
	text = heard(fd);
	assert_true(strncmp(text, "<109>1 2026-11-18T11:06:40.000Z - mainstayd ", 44) == 0);
	assert_non_null(strstr(text, " accept [mainstay@32473 leaf=\""));
	assert_non_null(strstr(text, " actor=\"uid:0\" "));
	assert_non_null(strstr(text, " object=\"a \\\"b\\\" \\]c\\\\"));
	assert_non_null(strstr(text, " digest=\"\" reason=\"\" site=\"\"] leaf "));
	assert_null(strchr(text, '\n'));
	(void)close(fd);
}

static void
without_either_nothing_happens(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);

	listen_with(t, "/nowhere/journal", "/nowhere/log");
	assert_int_equal(monitor_leaf(t->m, "switch", "x", "y", NULL, REASON_NONE), 0);
	assert_int_equal(audit_size(t->m->audit), before + 1);
	assert_int_equal(t->m->copies.left_out, 1);
}

static void
a_reader_that_was_restarted_is_found_again(void **state)
{
	struct site_test *t = *state;
	char path[256];
	int fd = listen_at(t, "journal", path);

	listen_with(t, path, NULL);
	assert_int_equal(monitor_leaf(t->m, "switch", "x", "first", NULL, REASON_NONE), 0);
	assert_non_null(strstr(heard(fd), "first"));
	(void)close(fd);
	fd = listen_at(t, "journal", path);
	assert_int_equal(monitor_leaf(t->m, "switch", "x", "second", NULL, REASON_NONE), 0);
	assert_non_null(strstr(heard(fd), "second"));
	assert_int_equal(t->m->copies.left_out, 0);
	(void)close(fd);
}

static void
a_reader_that_does_not_read_holds_nothing_up(void **state)
{
	struct site_test *t = *state;
	char path[256];
	int fd = listen_at(t, "journal", path);

	listen_with(t, path, NULL);
	for (int i = 0; i < 400; i++)
		assert_int_equal(monitor_leaf(t->m, "switch", "x", "y", NULL, REASON_NONE), 0);
	assert_true(t->m->copies.left_out > 0);
	(void)close(fd);
}

/* What others appended is copied too, once. */
static void
every_leaf_is_copied_once(void **state)
{
	struct site_test *t = *state;
	char path[256];
	int fd = listen_at(t, "journal", path);

	listen_with(t, path, NULL);
	assert_int_equal(audit_append(t->m->audit, AUDIT_ROTATE, "x", "by another", NULL,
				 REASON_NONE, NULL, NULL),
		0);
	assert_int_equal(leaf_flush(t->m, false), 0);
	assert_non_null(strstr(heard(fd), "MAINSTAY_OBJECT=by another\n"));
	assert_int_equal(leaf_flush(t->m, false), 0);
	assert_string_equal(heard(fd), "");
	(void)close(fd);
}

/* --- etc/syslog ------------------------------------------------------------------------------------ */
static void
write_setting(struct site_test *t, const char *text)
{
	char path[512];

	if (mkdir(t->paths.etc, 0755) < 0)
		assert_int_equal(errno, EEXIST);
	(void)snprintf(path, sizeof(path), "%s/syslog", t->paths.etc);
	(void)unlink(path);
	if (text)
		assert_int_equal(fs_replace_path(path, text, strlen(text), 0644), 0);
}

static void
say(struct site_test *t, const char *object)
{
	assert_int_equal(monitor_leaf(t->m, "accept", "x", object, NULL, REASON_NONE), 0);
}

static void
the_customer_names_another_socket(void **state)
{
	struct site_test *t = *state;
	char path[256], journal[256], line[300];
	int fd = listen_at(t, "own", path), host = listen_at(t, "journal", journal);

	listen_with(t, journal, NULL);
	say(t, "zero");
	assert_non_null(strstr(heard(host), "zero"));
	(void)snprintf(line, sizeof(line), "unix:%s \n", path);
	write_setting(t, line);
	say(t, "one");
	assert_true(strncmp(heard(fd), "<109>1 ", 7) == 0);
	assert_string_equal(heard(host), "");
	/* None at all; and that is not what is counted as left out. */
	write_setting(t, "none\n");
	say(t, "two");
	assert_string_equal(heard(fd), "");
	assert_int_equal(t->m->copies.left_out, 0);
	write_setting(t, path);
	say(t, "three");
	assert_non_null(strstr(heard(fd), "three"));
	site_restart(t);
	say(t, "four");
	assert_non_null(strstr(heard(fd), "four"));
	write_setting(t, NULL); /* the host's again */
	say(t, "five");
	assert_string_equal(heard(fd), "");
	assert_int_equal(t->m->syslog.path[0], 0);
	(void)close(fd);
	(void)close(host);
}

static void
a_setting_that_is_none_is_named_once_and_changes_nothing(void **state)
{
	char longer[2000], path[256], over[200];
	const struct {
		const char *text;
		enum reason why;
	} rows[] = {
		{ "udp:log.example:514\n", REASON_MALFORMED },
		{ "/dev/log\n/dev/other\n", REASON_MALFORMED },
		{ "", REASON_MALFORMED },
		{ over, REASON_TOO_LARGE },
		{ longer, REASON_TOO_LARGE },
	};
	struct site_test *t = *state;
	int fd = listen_at(t, "own", path);

	memset(longer, '/', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memset(over, '/', sizeof(over) - 1);
	over[sizeof(over) - 1] = '\0';
	write_setting(t, path);
	say(t, "before");
	assert_non_null(strstr(heard(fd), "before"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *status = NULL;
		uint64_t count = refuse_count(rows[i].why);
		const json_t *pending;

		write_setting(t, rows[i].text);
		say(t, "after");
		say(t, "after that");
		if (refuse_last()->reason != rows[i].why || refuse_count(rows[i].why) != count + 1)
			fail_msg("row %zu: %s", i, refuse_last()->text);
		assert_non_null(strstr(heard(fd), "after"));
		assert_non_null(strstr(heard(fd), "after that"));
		assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status),
			0);
		pending = json_array_get(json_object_get(status, "pending"), 0);
		assert_string_equal(json_text(pending, "id"), "etc/syslog");
		assert_string_equal(json_text(pending, "text"), refuse_last()->text);
	}
	write_setting(t, path);
	say(t, "right");
	assert_string_equal(t->m->syslog.trouble, "");
	(void)close(fd);
}

/* Whoever could write it could read what happens here. */
static void
a_setting_that_others_may_write_does_not_count(void **state)
{
	struct site_test *t = *state;
	char path[256], file[512];
	int fd = listen_at(t, "own", path);
	uint64_t count = refuse_count(REASON_WRONG_ROLE);

	write_setting(t, path);
	(void)snprintf(file, sizeof(file), "%s/syslog", t->paths.etc);
	assert_int_equal(chmod(file, 0666), 0);
	say(t, "x");
	assert_int_equal(refuse_count(REASON_WRONG_ROLE), count + 1);
	assert_string_equal(heard(fd), "");
	assert_int_equal(chmod(file, 0644), 0);
	say(t, "y");
	assert_non_null(strstr(heard(fd), "y"));
	(void)close(fd);
}

static bool
is_pending(struct site_test *t, const char *kind)
{
	SCOPED_JSON *status = json_pack("{s:{}, s:[]}", "audit", "pending");
	const json_t *row;
	size_t i;

	leaf_status(t->m, status);
	json_array_foreach (json_object_get(status, "pending"), i, row)
		if (strcmp(json_text(row, "kind"), kind) == 0)
			return true;
	return false;
}

static bool full;

/* Takes the place of libc's: a disk that is full. */
int
statvfs(const char *restrict path, struct statvfs *restrict ret)
{
	(void)path;
	*ret = (struct statvfs){ .f_frsize = 4096, .f_bavail = full ? 511 : 512 };
	return 0;
}

static void
a_full_disk_is_pending(void **state)
{
	full = false;
	assert_false(is_pending(*state, "disk"));
	full = true;
	assert_true(is_pending(*state, "disk"));
	full = false;
}

/* Nobody need start the monitor again because a sync failed once. */
static void
a_log_that_failed_is_opened_again(void **state)
{
	struct site_test *t = *state;
	uint64_t before = audit_size(t->m->audit);

	data_failures = 1;
	assert_int_equal(monitor_leaf(t->m, "start", "anna", "one", NULL, REASON_NONE), -EIO);
	assert_int_equal(monitor_leaf(t->m, "start", "anna", "two", NULL, REASON_NONE), -EIO);
	assert_true(is_pending(t, "audit"));
	data_failures = 1; /* and not yet */
	leaf_look(t->m);
	assert_int_equal(monitor_leaf(t->m, "start", "anna", "three", NULL, REASON_NONE), -EIO);
	leaf_look(t->m); /* not each time */
	assert_int_equal(monitor_leaf(t->m, "start", "anna", "four", NULL, REASON_NONE), -EIO);
	clock_fake(NOW + 5 * CLOCK_US_PER_S, 5005 * CLOCK_US_PER_S);
	leaf_look(t->m);
	assert_int_equal(audit_size(t->m->audit), before + 1); /* the first one was written, though not synced */
	assert_int_equal(monitor_leaf(t->m, "start", "anna", "five", NULL, REASON_NONE), 0);
	assert_string_equal(site_last_leaf(t), "start five");
	assert_false(is_pending(t, "audit"));
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(ten_thousand_refusals_are_two_leaves),
		ROW(what_was_counted_before_a_crash_is_a_leaf_after_it),
		ROW(an_orderly_end_leaves_nothing_counted),
		ROW(a_damaged_count_does_not_keep_the_monitor_down),
		ROW(a_full_disk_is_pending),
		ROW(a_log_that_failed_is_opened_again),
		ROW(leaves_of_one_moment_are_signed_for_together_and_soon),
		ROW(a_leaf_is_in_the_journal_under_its_fields),
		ROW(without_a_journal_it_is_in_syslog_as_rfc_5424_has_it),
		ROW(without_either_nothing_happens),
		ROW(a_reader_that_was_restarted_is_found_again),
		ROW(a_reader_that_does_not_read_holds_nothing_up),
		ROW(every_leaf_is_copied_once),
		ROW(the_customer_names_another_socket),
		ROW(a_setting_that_is_none_is_named_once_and_changes_nothing),
		ROW(a_setting_that_others_may_write_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
