/* What a command prints: JSON objects, tables, and how it ended. */
#include "appliance/base/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/command_table.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/json_wanting.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

enum {
	COLUMNS_MAX = 12,
	CELL_MAX = 512,
	READ_STEP = 65536,
};

/* What to do about it, where the sentence of the refusal does not say it already. */
static const char *const remedies[REASON_MAX] = {
	[REASON_MALFORMED] = "correct the input and try again",
	[REASON_UNKNOWN_FIELD] = "remove the unknown member or correct its spelling",
	[REASON_TOO_LARGE] = "make the input smaller",
	[REASON_UNSIGNED] = "have it signed by somebody whose key is known",
	[REASON_BAD_SIGNATURE] = "get the document again from its author; do not use this one",
	[REASON_UNKNOWN_KEY] = "sign with a key that is registered, or have this one registered",
	[REASON_LOW_ORDER_KEY] = "make a new key; this one is unsafe",
	[REASON_USED_TOKEN] = "ask the vendor for a new token",
	[REASON_EXPIRED] = "ask for a new one; if it should be valid, check the clock",
	[REASON_NOT_YET_VALID] = "check the clock, or wait",
	[REASON_REPLAYED] = "sign a new one; each is good once",
	[REASON_WRONG_ADDRESSEE] = "sign one for this site",
	[REASON_WRONG_ROLE] = "ask somebody with the role",
	[REASON_REVOKED] = "sign with a key that is not revoked",
	[REASON_DENIED] = "the customer's policy decides: mainstay policy explain",
	[REASON_NOT_APPROVED] = "have it approved: mainstay requests list",
	[REASON_ALTERED] = "restore the original; what is there was changed",
	[REASON_STATE_MOVED] = "look at the present state and try again",
	[REASON_SWITCHED_OFF] = "switch it on: mainstay on",
	[REASON_ROLLBACK] = "use a document at least as new as the last one seen",
	[REASON_FREEZE] = "the vendor's metadata is stale: wait for a fresh one",
	[REASON_THRESHOLD] = "collect the missing signatures",
	[REASON_HASH_MISMATCH] = "fetch the bytes again; these are not what was signed",
	[REASON_NO_SPACE] = "free disk space",
	[REASON_NO_SANDBOX] = "run where namespaces, seccomp and rlimits are allowed",
	[REASON_STALE_PEOPLE] = "refresh the people document",
	[REASON_WRONG_EPOCH] = "fetch the site's present statement and sign again",
	[REASON_INTERRUPTED] = "look at the service before you decide to run it again",
	[REASON_CONFLICT] = "look at what is there already",
	[REASON_NOT_FOUND] = "check the name",
	[REASON_BUSY] = "try again in a moment",
	[REASON_UNSAFE_TREE] = "remove setuid files, devices and links that lead outside",
	[REASON_OUTSIDE_WINDOW] = "wait for the window, or have the owner change it",
	[REASON_USAGE] = "see --help",
	[REASON_UNREACHABLE] = "check that the daemon or hub runs and can be reached",
	[REASON_FAULT] = "see the log; report it if it comes again",
};

int
command_print_json(const char *kind, json_t *take_obj)
{
	SCOPED_JSON *obj = take_obj, *out = json_object();

	if (!obj || !out || json_object_set_new(out, "api", json_string("mainstay/v1")) < 0 ||
		json_object_set_new(out, "kind", json_string(kind)) < 0 ||
		json_object_update(out, obj) < 0)
		return FAULT(-ENOMEM);
	if (json_dumpf(out, stdout, JSON_COMPACT) < 0 || fputc('\n', stdout) == EOF ||
		fflush(stdout) == EOF)
		return FAULT(-EIO);
	return 0;
}

/* One member as one line of harmless text. */
static void
cell_text(char out[CELL_MAX], const json_t *v)
{
	char text[CELL_MAX] = "";

	switch (v ? (int)json_typeof(v) : (int)JSON_NULL) {
	case JSON_STRING:
		log_escape(out, CELL_MAX, json_string_value(v));
		break;
	case JSON_INTEGER:
		(void)snprintf(out, CELL_MAX, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		(void)snprintf(out, CELL_MAX, "%g", json_real_value(v));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		(void)snprintf(out, CELL_MAX, "%s", json_is_true(v) ? "yes" : "no");
		break;
	case JSON_NULL:
		(void)snprintf(out, CELL_MAX, "-");
		break;
	default: {
		size_t n = json_dumpb(v, text, sizeof(text) - 1, JSON_COMPACT);

		text[n < sizeof(text) ? n : sizeof(text) - 1] = '\0';
		log_escape(out, CELL_MAX, text);
		break;
	}
	}
	if (!*out)
		(void)snprintf(out, CELL_MAX, "-");
}

/* How many columns of a terminal a text takes, near enough: its UTF-8 characters. */
static int
text_width(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void
print_cell(const char *text, int width, bool last)
{
	(void)printf("%s%*s", text, last ? 0 : width - text_width(text) + 2, "");
}

static void
print_table(const struct command_call *call, json_t *items, const char *const *columns)
{
	int widths[COLUMNS_MAX] = { 0 };
	char cell[CELL_MAX];
	size_t i, n = 0;
	json_t *item;

	while (n < COLUMNS_MAX && columns[n]) {
		widths[n] = text_width(columns[n]);
		json_array_foreach(items, i, item) {
			cell_text(cell, json_object_get(item, columns[n]));
			if (text_width(cell) > widths[n])
				widths[n] = text_width(cell);
		}
		n++;
	}
	if (call->color)
		(void)fputs("\033[1m", stdout);
	for (size_t c = 0; c < n; c++) {
		(void)snprintf(cell, sizeof(cell), "%s", columns[c]);
		for (char *p = cell; *p; p++)
			*p = *p == '_' ? ' ' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
		print_cell(cell, widths[c], c + 1 == n);
	}
	(void)fputs(call->color ? "\033[0m\n" : "\n", stdout);
	json_array_foreach(items, i, item) {
		for (size_t c = 0; c < n; c++) {
			cell_text(cell, json_object_get(item, columns[c]));
			print_cell(cell, widths[c], c + 1 == n);
		}
		(void)fputc('\n', stdout);
	}
}

int
command_print_items(const struct command_call *call, const char *kind, json_t *take_items,
	const char *const *columns)
{
	SCOPED_JSON *items = take_items, *obj = NULL;

	if (!items)
		return FAULT(-ENOMEM);
	if (!call->json) {
		print_table(call, items, columns);
		return fflush(stdout) == EOF ? FAULT(-EIO) : 0;
	}
	obj = json_object();
	if (!obj || json_object_set(obj, "items", items) < 0)
		return FAULT(-ENOMEM);
	return command_print_json(kind, STEAL(obj));
}

typedef void put_fn(FILE *to, const char *safe);

static void
put_plain(FILE *to, const char *safe)
{
	(void)fputs(safe, to);
}

/* The words of a state, each in its colour; they are ours whoever wrote them, so nothing else can be painted. */
static void
put_painted(FILE *to, const char *safe)
{
	static const struct {
		const char *word, *colour;
	} paints[] = {
		{ "running", "\033[32m" },
		{ "passing", "\033[32m" },
		{ "on", "\033[32m" },
		{ "starting", "\033[33m" },
		{ "failed", "\033[31m" },
		{ "frozen", "\033[31m" },
		{ "failing", "\033[31m" },
	};

	while (*safe) {
		size_t len = strspn(safe, "abcdefghijklmnopqrstuvwxyz"), i;

		for (i = 0; i < ARRAY_LEN(paints); i++)
			if (strlen(paints[i].word) == len && strncmp(safe, paints[i].word, len) == 0)
				break;
		len = len ? len : 1;
		if (i < ARRAY_LEN(paints))
			(void)fprintf(to, "%s%.*s\033[0m", paints[i].colour, (int)len, safe);
		else
			(void)fwrite(safe, 1, len, to);
		safe += len;
	}
}

static bool unsaid; /* for want of memory */

bool
command_all_said(void)
{
	return !unsaid && json_wanting() == 0 && fflush(stdout) != EOF && !ferror(stdout);
}

void
command_unsaid(int r)
{
	unsaid = unsaid || r == -ENOMEM;
}

/* As a terminal may see it: lines and tabs stay, other control characters become visible.  The \r of
 * a line's end, which many a protocol has, goes. */
static void
put_harmless(FILE *to, const char *text, put_fn *put)
{
	for (size_t len;; text += len + 1) {
		SCOPED(scope_free) char *piece = NULL;
		SCOPED(scope_free) char *safe = NULL;
		bool cr;

		len = strcspn(text, "\n\t");
		cr = len > 0 && text[len] == '\n' && text[len - 1] == '\r';
		piece = strndup(text, cr ? len - 1 : len);
		safe = malloc(4 * len + 1); /* each byte as \xNN */
		if (piece && safe)
			put(to, log_escape(safe, 4 * len + 1, piece));
		else
			unsaid = true;
		if (!text[len])
			return;
		(void)fputc(text[len], to);
	}
}

__attribute__((format(printf, 3, 0))) static void
say(const struct command_call *call, put_fn *put, const char *fmt, va_list ap)
{
	SCOPED(scope_free) char *text = NULL;

	if (call->json)
		return;
	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		unsaid = true;
	}
	if (text)
		put_harmless(stdout, text, put);
	(void)fputc('\n', stdout);
}

void
command_say(const struct command_call *call, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(call, put_plain, fmt, ap);
	va_end(ap);
}

void
command_say_state(const struct command_call *call, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(call, call->color ? put_painted : put_plain, fmt, ap);
	va_end(ap);
}

void
command_put(FILE *to, const char *text)
{
	if (isatty(fileno(to)))
		put_harmless(to, text, put_plain);
	else
		(void)fputs(text, to);
}

/* --- how it ended -------------------------------------------------------------------------------- */
static void
report_json(const struct refusal *why)
{
	char operand[REFUSE_OPERAND_MAX * 4], place[REFUSE_PLACE_MAX * 4],
		text[REFUSE_TEXT_MAX * 4];
	SCOPED_JSON *obj = NULL;

	/* Escaped, for what was cut or came from outside need not be UTF-8. */
	log_escape(operand, sizeof(operand), why->operand);
	log_escape(place, sizeof(place), why->place);
	log_escape(text, sizeof(text), why->text);
	obj = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "api", "mainstay/v1", "kind",
		"Error", "reason", refuse_token(why->reason), "operand", operand, "where", place,
		"text", text, "remedy", remedies[why->reason] ? remedies[why->reason] : "");
	if (obj)
		(void)json_dumpf(obj, stderr, JSON_COMPACT);
	(void)fputc('\n', stderr);
}

static void
report_text(const char *prog, const struct refusal *why)
{
	char operand[REFUSE_OPERAND_MAX * 4], place[REFUSE_PLACE_MAX * 4],
		text[REFUSE_TEXT_MAX * 4];
	bool named;

	log_escape(operand, sizeof(operand), why->operand);
	log_escape(place, sizeof(place), why->place);
	log_escape(text, sizeof(text), why->text);
	/* The place names the file; an operand that is only the file again adds nothing. */
	named = *operand && strncmp(place, operand, strlen(operand)) != 0;
	(void)fprintf(stderr, "%s: %s%s%s%s%s [%s]\n", prog, place, *place ? ": " : "",
		named ? operand : "", named ? ": " : "", text, refuse_token(why->reason));
}

int
command_report(const char *prog, bool json, int r)
{
	struct refusal why;

	if (r == 0)
		return 0;
	r = refuse_full(r);
	why = *refuse_last();
	if (r < 0) {
		const char *what = strerrordesc_np(-r);
		char trail[REFUSE_TEXT_MAX];

		fault_take(trail, sizeof(trail));
		why = (struct refusal){ .reason = REASON_FAULT };
		(void)snprintf(why.text, sizeof(why.text), "%s",
			trail[0]       ? trail
				: what ? what
				       : "unknown error");
	} else if (why.reason != (enum reason)r) {
		/* A callee documents this outcome but did not REFUSE(): the token still stands. */
		why = (struct refusal){ .reason = r < REASON_MAX ? (enum reason)r : REASON_FAULT };
		(void)snprintf(why.text, sizeof(why.text), "refused");
	}
	if (json)
		report_json(&why);
	else
		report_text(prog, &why);
	return refuse_exit_code(r);
}

/* --- input --------------------------------------------------------------------------------------- */
static int
read_stream(const char *file, int fd, size_t max, struct buf *out)
{
	size_t total = 0;

	for (;;) {
		SCOPED(scope_free) uint8_t *room = malloc(READ_STEP);
		ssize_t n;

		if (!room)
			return FAULT(-ENOMEM);
		n = read(fd, room, READ_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAULT(-errno);
		if (n == 0)
			return 0;
		total += (size_t)n;
		if (total > max)
			return REFUSE(REASON_TOO_LARGE, file, "more than %zu bytes", max);
		buf_put(out, room, (size_t)n);
		explicit_bzero(room, READ_STEP); /* it may have been a token */
		if (buf_error(out))
			return FAULT(buf_error(out));
	}
}

int
command_read_file(const char *file, size_t max, struct buf *out)
{
	SCOPED(scope_close) int fd = -1;

	if (strcmp(file, "-") == 0)
		return read_stream(file, STDIN_FILENO, max, out);
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, file, "cannot be read: %s", strerrordesc_np(errno));
	return read_stream(file, fd, max, out);
}
