#include "appliance/monitor/commands_against.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/audit/against.h"
#include "appliance/audit/audit_load.h"
#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"

static int
against_copy(struct command_call *call, int log, uint64_t size, int copy, const uint8_t key[32])
{
	SCOPED(audit_head_done) struct audit_head head = { 0 };
	uint64_t n = 0;
	int r = audit_load_head(&head, copy, AUDIT_LOAD_CHECKPOINT, key);

	if (r == 0 && !head.present)
		return REFUSE(REASON_UNSIGNED, AUDIT_LOAD_CHECKPOINT,
			"is not in the folder that was kept");
	r = r ?: against_folder(&n, log, size, copy, head.checkpoint.size);
	if (r == 0)
		command_say(call, "the first %llu entries are those that were kept",
			(unsigned long long)n);
	return FAULT(r);
}

static int
against_note(struct command_call *call, const char *file, int log, uint64_t size,
	const uint8_t key[32])
{
	SCOPED(buf_done) struct buf text = BUF_MAX(NOTE_MAX);
	SCOPED(note_freep) struct note *note = NULL;
	struct note_checkpoint head;
	struct note_key signer;
	int r = command_read_file(file, text.max, &text);

	r = r ?: note_open(&note, text.data, text.len, file);
	r = r ?: note_checkpoint_parse(&head, note->text, note->text_len, file);
	r = r ?: note_key_make(&signer, head.origin, NOTE_TYPE_ED25519, key);
	r = r ?: note_verify(note, &signer, NULL);
	r = r ?: against_head(log, size, &head);
	if (r == 0)
		command_say(call, "the first %llu entries are those whose head was kept",
			(unsigned long long)head.size);
	return FAULT(r);
}

int
commands_against(struct command_call *call, const char *what, const json_t *report)
{
	SCOPED(scope_close) int lib = -1, log = -1, copy = -1;
	uint64_t size = (uint64_t)json_integer_value(json_object_get(report, "size"));
	uint8_t key[32];

	lib = open(call->paths.lib, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	log = lib < 0 ? -1 : openat(lib, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log < 0)
		return FAULT(-errno);
	if (!hex_decode(key, sizeof(key), json_text(report, "key")))
		return FAULT(-EBADMSG);
	copy = open(what, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return copy >= 0 ? against_copy(call, log, size, copy, key)
			 : against_note(call, what, log, size, key);
}
