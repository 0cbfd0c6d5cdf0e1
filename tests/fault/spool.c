/* The way of telemetry on the site's disk, cut: spool, the courier's places, and a hub that keeps what it has.
 *
 *	spool work FOLDER SEED NOTES STEPS BLOCKS    write records into FOLDER and ship them; after each step note in NOTES how
 *	                                             long BLOCKS was and what was promised then: "kept BYTES N" (records up
 *	                                             to N are on disk), "sent BYTES N LANE" (the hub has N), "done BYTES N" (acks.json says so)
 *	spool check FOLDER SEED NOTES CUT            FOLDER is what a cut after CUT bytes of BLOCKS left: open it, hold it
 *	                                             against that, ship the rest, and hold the hub against the ledger */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/lanes.h"
#include "telemetry/spool/spool.h"
#include "tests/fault/trouble.h"

enum { RECORDS_MAX = 20000 };

struct world {
	int dir;
	struct spool *spool;
	struct ack *ack;
	struct lanes *lanes;
	uint64_t drawn, kept, now_s;
	uint64_t what, left; /* is done next, and how much of it still is */
	bool sync;
	const char *blocks;
	FILE *notes;
	uint8_t had[RECORDS_MAX][2]; /* the hub, by lane */
	uint64_t last[2];
};

static void
need(bool ok, const char *what)
{
	if (ok)
		return;
	printf("%s: %s: %s\n", what, refuse_last()->operand, refuse_last()->text);
	exit(1);
}

static uint64_t
draw(struct world *w, uint64_t below)
{
	w->drawn = w->drawn * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (w->drawn >> 33) % below;
}

static void
stop(struct world *w)
{
	w->lanes = lanes_free(w->lanes);
	w->ack = ack_free(w->ack);
	w->spool = spool_close(w->spool);
}

/* The number of the last record that is there, 0: none. */
static int
last_kept(struct world *w, uint64_t *ret)
{
	SCOPED(buf_done) struct buf note = BUF_MAX(LEDGER_NOTE_MAX);
	int r = spool_last_note(w->spool, &note);

	*ret = 0;
	if (r == 0)
		need(sscanf(buf_text(&note), "record %" SCNu64, ret) == 1, "note");
	return r == REASON_NOT_FOUND ? 0 : r;
}

static int
start(void *arg)
{
	const struct spool_limits limits = { .total_max = 64 << 20, .segment_max = 64 * 1024 };
	struct world *w = arg;
	int r;

	stop(w);
	r = spool_open(&w->spool, w->dir, "metrics", &limits);
	r = r ?: last_kept(w, &w->kept); /* what was not promised may be there all the same */
	r = r ?: ack_open(&w->ack, w->dir);
	r = r ?: lanes_new(&w->lanes, w->ack, w->dir, "metrics", "metrics", true);
	if (r == 0)
		lanes_soon(w->lanes);
	return r;
}

static void
note_down(const struct world *w, const char *word, uint64_t n, const char *more)
{
	struct stat st;

	need(stat(w->blocks, &st) == 0, w->blocks);
	fprintf(w->notes, "%s %lld %" PRIu64 "%s\n", word, (long long)st.st_size, n, more);
	fflush(w->notes);
}

/* --- the work --------------------------------------------------------------------------------- */
static int
put(struct world *w)
{
	for (; w->left > 0; w->left--) {
		char text[400];
		uint64_t sequence = 0;
		int r;

		memset(text, 'x', sizeof(text));
		(void)snprintf(text, sizeof(text), "record %" PRIu64, w->kept + 1);
		r = spool_write_unsynced(w->spool,
			&(struct spool_item){ .class = CLASS_METRIC,
				.path = "/v1/metrics",
				.content_type = "a/b",
				.body = text,
				.len = sizeof(text),
				.note = text,
				.note_len = strlen(text) },
			&sequence);
		if (r)
			return r;
		need(sequence == w->kept + 1, "write");
		w->kept++;
	}
	return 0;
}

/* Whether acks.json says so, and not memory alone. */
static bool
is_written(const struct world *w, uint64_t n)
{
	SCOPED(ack_freep) struct ack *a = NULL;
	bool written;

	trouble_spare(true);
	need(ack_open(&a, w->dir) == 0, "acks");
	written = ack_has(a, "metrics", n);
	trouble_spare(false);
	return written;
}

/* Ship one, where there is one: 0, REASON_NOT_FOUND, or a fault. */
static int
ship(struct world *w, bool told)
{
	const struct lanes_record *rec;
	int r = lanes_next(w->lanes, &rec);
	uint64_t n;

	if (r != 0)
		return r < 0 ? r : REASON_NOT_FOUND; /* none, or none yet */
	n = rec->sequence;
	need(n < RECORDS_MAX, "record");
	if (!w->had[n][rec->fresh]) {
		need(!w->had[n][!rec->fresh], "a record in both lanes");
		need(n > w->last[rec->fresh], "a lane out of order");
		w->had[n][rec->fresh] = 1;
		w->last[rec->fresh] = n;
	}
	if (told)
		note_down(w, "sent", n, rec->fresh ? " 1" : " 0");
	r = lanes_done(w->lanes, NULL, 0);
	if (r == 0 && told && is_written(w, n))
		note_down(w, "done", n, "");
	return r;
}

static int
step(void *arg)
{
	struct world *w = arg;
	int r = 0;

	if (!w->lanes || w->what == 1)
		return start(w);
	if (w->what < 8)
		r = put(w);
	else
		for (; w->left > 0 && r == 0; w->left--)
			r = ship(w, true);
	if (r == 0 && w->sync)
		r = spool_sync(w->spool);
	return r == REASON_NOT_FOUND ? 0 : r;
}

/* What is done next, and how much of it. */
static void
choose(struct world *w)
{
	w->what = draw(w, 20);
	w->sync = false;
	if (w->what < 1) { /* an outage */
		w->left = 20;
	} else if (w->what < 8) {
		w->left = 1 + draw(w, 4);
		w->sync = draw(w, 3) != 0; /* else nothing is promised, and the courier may ship it all the same */
	} else {
		w->left = draw(w, 3) ? 1 : 1 + draw(w, 12); /* one, or as fast as they go */
	}
}

static int
work(struct world *w, unsigned long steps)
{
	bool good = trouble_do("start", start, start, w);

	for (unsigned long i = 0; i < steps && good; i++) {
		choose(w);
		w->now_s++;
		clock_fake(w->now_s * CLOCK_US_PER_S, w->now_s * CLOCK_US_PER_S);
		good = trouble_do("step", step, start, w);
		if (good && w->sync)
			note_down(w, "kept", w->kept, "");
		w->now_s += w->what < 1 ? 600 : 0;
	}
	printf("%" PRIu64 " records, %" PRIu64 " and %" PRIu64 " shipped\n", w->kept, w->last[0], w->last[1]);
	return 0;
}

/* --- the check -------------------------------------------------------------------------------- */
static uint64_t
read_notes(struct world *w, long long cut)
{
	uint64_t kept = 0, n;
	unsigned lane;
	long long at;
	char word[8], line[80];

	while (fgets(line, sizeof(line), w->notes)) {
		need(sscanf(line, "%7s %lld %" SCNu64 " %u", word, &at, &n, &lane) >= 3, "notes");
		if (at > cut)
			break;
		if (strcmp(word, "kept") == 0) {
			kept = n;
		} else if (strcmp(word, "sent") == 0) {
			w->had[n][lane] = 1;
			w->last[lane] = n > w->last[lane] ? n : w->last[lane];
			kept = n > kept ? n : kept; /* what was shipped must be in the ledger */
		} else {
			need(ack_has(w->ack, "metrics", n), "a place that went back");
		}
	}
	return kept;
}

static int
check(struct world *w, long long cut)
{
	uint64_t kept, there;

	clock_fake(UINT64_C(1000000) * CLOCK_US_PER_S, UINT64_C(1000000) * CLOCK_US_PER_S);
	need(start(w) == 0, "start");
	there = w->kept;
	kept = read_notes(w, cut);
	if (there < kept) {
		printf("%" PRIu64 " records are there, %" PRIu64 " were promised\n", there, kept);
		return 1;
	}
	while (ship(w, false) == 0)
		;
	for (uint64_t n = 1; n <= there; n++)
		if (w->had[n][0] + w->had[n][1] != 1) {
			printf("record %" PRIu64 " is %u times at the hub\n", n, w->had[n][0] + w->had[n][1]);
			return 1;
		}
	need(!json_object_get(ack_counts(w->ack), "metrics"), "something is counted as lost");
	return 0;
}

int
main(int argc, char **argv)
{
	static struct world w;
	bool is_check = argc == 6 && strcmp(argv[1], "check") == 0;
	int r;

	if (!is_check && (argc != 7 || strcmp(argv[1], "work") != 0))
		return 2;
	w.dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(w.dir >= 0, argv[2]);
	w.drawn = strtoull(argv[3], NULL, 10);
	w.now_s = 1000;
	w.notes = fopen(argv[4], is_check ? "re" : "we");
	need(w.notes != NULL, argv[4]);
	w.blocks = is_check ? NULL : argv[6];
	r = is_check ? check(&w, strtoll(argv[5], NULL, 10)) : work(&w, strtoul(argv[5], NULL, 10));
	stop(&w);
	return fclose(w.notes) ? 4 : r;
}
