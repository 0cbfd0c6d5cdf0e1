/* What is met before there is trust: a card, a token, what a site that enrols sends its hub, and the rows of the log it
 * keeps; the first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "appliance/audit/audit.h"
#include "appliance/audit/audit_scan.h"
#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/enrol/card.h"
#include "appliance/enrol/enrol_hub.h"
#include "appliance/enrol/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
token(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(2 * TOKEN_FILE_MAX);
	struct token t, again;

	if (token_parse(&t, data, size) != 0)
		return;
	if (!token_name_ok(t.site) || token_text(&text, &t) != 0 ||
		token_parse(&again, text.data, text.len) != 0 ||
		memcmp(again.secret, t.secret, sizeof(t.secret)) != 0 ||
		strcmp(again.site, t.site) != 0)
		abort();
	token_wipe(&t);
	token_wipe(&again);
}

static void
entry(const uint8_t *data, size_t size)
{
	SCOPED_JSON *doc = NULL;
	struct audit_entry e;
	struct audit_scan seen;
	bool good = audit_entry_parse(&e, &doc, data, size) == 0;

	if (good && (!e.actor || !e.object || !e.digest || !e.reason))
		abort();
	/* The quick reader says yes to nothing that the other one does not, and reads it alike. */
	if (audit_scan(&seen, data, size) &&
		(!good || seen.n != e.n || seen.time_us != e.time_us || seen.kind != e.kind ||
			json_object_get(doc, "extra")))
		abort();
}

/* What a person types: a fingerprint to compare, a witness. */
static void
words(const uint8_t *data, size_t size)
{
	uint8_t print[32];
	struct card_witness w;
	char text[512];

	if (size >= sizeof(text))
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)card_fingerprint_parse(print, text, "fuzz");
	(void)card_witness_parse(&w, text);
}

static void
asking(const uint8_t *data, size_t size)
{
	struct enrol_hub_request r = { 0 };

	if (enrol_hub_read(&r, data, size, UINT64_C(1800000000000000)) == 0)
		enrol_hub_request_done(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(card_freep) struct card *card = NULL;

	log_quiet_refusals(true);
	if (!size)
		return 0;
	switch (data[0]) {
	case 'c':
		(void)card_read(&card, data + 1, size - 1);
		card = card_free(card);
		(void)card_read_draft(&card, data + 1, size - 1);
		break;
	case 'w':
		words(data + 1, size - 1);
		break;
	case 't':
		token(data + 1, size - 1);
		break;
	case 'h':
		asking(data + 1, size - 1);
		break;
	default:
		entry(data + 1, size - 1);
		break;
	}
	return 0;
}
