/* What keeps a value in the state folder by a room's own calls: each is given one number after the other.
 *
 *	keeps work FOLDER SEED NOTES STEPS BLOCKS	so many numbers to each; before each try note "try NAME N", and when it was
 *							kept "ack BYTES NAME N", BYTES being how long BLOCKS was
 *	keeps check FOLDER SEED NOTES CUT		FOLDER is what there was after CUT bytes of BLOCKS: opened anew, each
 *							must say the last number that it said it kept, or one that was tried
 *							since, and take the next */
#include "tests/fault/keeps.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "tests/fault/trouble.h"

enum { NAMES = 32 };

/* Of one keep. */
struct told {
	uint64_t tried, kept;
};

struct work {
	struct keeps_world w;
	const struct keeps_keep *keep; /* whose turn it is */
	uint64_t value;
	FILE *notes;
	const char *blocks;
};

static void
fail(const char *name, const char *what, uint64_t value)
{
	printf("%s: %s %" PRIu64 " (%s: %s)\n", name, what, value, refuse_last()->operand, refuse_last()->text);
	exit(1);
}

/* --- the work ---------------------------------------------------------------------------------------------------- */
static int
put(void *arg)
{
	struct work *k = arg;

	fprintf(k->notes, "try 0 %s %" PRIu64 "\n", k->keep->name, k->value);
	(void)fflush(k->notes);
	return k->keep->put(&k->w, k->value);
}

static int
restart(void *arg)
{
	struct work *k = arg;

	keeps_close(&k->w);
	return keeps_open(&k->w);
}

static void
promised(struct work *k)
{
	struct stat st;

	trouble_spare(true);
	if (!k->keep->has(&k->w, k->value))
		fail(k->keep->name, "said that it kept, and has not", k->value);
	trouble_spare(false);
	if (stat(k->blocks, &st) < 0)
		fail(k->blocks, "is not there", 0);
	fprintf(k->notes, "ack %lld %s %" PRIu64 "\n", (long long)st.st_size, k->keep->name, k->value);
	(void)fflush(k->notes);
}

static int
work(struct work *k, uint64_t steps)
{
	bool good = trouble_do("opening", restart, restart, k);

	for (k->value = 1; good && k->value <= steps; k->value++)
		for (size_t i = 0; good && i < keeps_count; i++) {
			k->keep = &keeps_all[i];
			good = trouble_do(k->keep->name, put, restart, k);
			if (good)
				promised(k);
		}
	printf("%zu that keep\n", keeps_count);
	return 0;
}

/* --- the check --------------------------------------------------------------------------------------------------- */
static void
read_notes(struct work *k, long long cut, struct told *ret)
{
	char word[8], name[NAMES];
	uint64_t value;
	long long at;

	while (fscanf(k->notes, "%7s %lld %31s %" SCNu64, word, &at, name, &value) == 4 && at <= cut)
		for (size_t i = 0; i < keeps_count; i++)
			if (strcmp(keeps_all[i].name, name) == 0)
				*(word[0] == 't' ? &ret[i].tried : &ret[i].kept) = value;
}

static int
check(struct work *k, long long cut)
{
	struct told told[KEEPS_MAX] = { 0 };

	read_notes(k, cut, told);
	if (keeps_open(&k->w) != 0)
		fail("state", "does not open", 0);
	for (size_t i = 0; i < keeps_count; i++) {
		const struct keeps_keep *keep = &keeps_all[i];
		uint64_t value = told[i].kept, next = told[i].tried + 1;

		while (value < next && !(value == 0 || keep->has(&k->w, value)))
			value++;
		if (value == next)
			fail(keep->name, "does not have", told[i].kept);
		/* What was tried and not kept is tried once more. */
		while (++value <= next)
			if (keep->put(&k->w, value) != 0 || !keep->has(&k->w, value))
				fail(keep->name, "does not take", value);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static struct work k;
	bool is_check = argc == 6 && strcmp(argv[1], "check") == 0;
	int r;

	if (!is_check && (argc != 7 || strcmp(argv[1], "work") != 0)) {
		fprintf(stderr, "usage: keeps work FOLDER SEED NOTES STEPS BLOCKS | check FOLDER SEED NOTES CUT\n");
		return 2;
	}
	k.notes = fopen(argv[4], is_check ? "re" : "we");
	if (!k.notes)
		fail(argv[4], "is not there", 0);
	k.blocks = is_check ? NULL : argv[6];
	trouble_spare(true);
	keeps_begin(&k.w, argv[2]);
	trouble_spare(false);
	r = is_check ? check(&k, strtoll(argv[5], NULL, 10)) : work(&k, strtoull(argv[5], NULL, 10));
	keeps_end(&k.w);
	return fclose(k.notes) ? 4 : r;
}
