#include <stdio.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/doctor.h"

void
doctor_tell(struct doctor *d, const char *check, enum doctor_word word, const char *text, const char *remedy)
{
	static const char *const words[] = { [DOCTOR_GOOD] = "ok", [DOCTOR_BAD] = "BAD", [DOCTOR_NOTE] = "note" };
	bool good = word == DOCTOR_GOOD;

	d->bad = d->bad || word == DOCTOR_BAD;
	(void)json_array_append_new(d->items,
		json_pack("{s:s, s:b, s:s, s:s}", "check", check, "ok", word != DOCTOR_BAD, "text", text, "remedy",
			good ? "" : remedy));
	command_say(d->call, "%-14s %-4s %s%s%s", check, words[word], text, good || !*remedy ? "" : "; ",
		good ? "" : remedy);
}

void
doctor_test(struct doctor *d, const char *check, bool good, const char *text, const char *remedy)
{
	doctor_tell(d, check, good ? DOCTOR_GOOD : DOCTOR_BAD, text, remedy);
}

const struct command_option commands_doctor_options[] = {
	{ .name = "hub",
		.value = "URL",
		.help = "try the way to this hub, also before this site is enrolled or while every switch is off" },
	{ 0 },
};

int
commands_doctor(struct command_call *call)
{
	SCOPED_JSON *items = json_array(), *status = NULL;
	struct doctor d = { .call = call, .items = items };

	doctor_site(&d);
	doctor_host(&d);
	doctor_network(&d);
	status = d.status;
	if (call->json)
		(void)command_print_json("Doctor", json_pack("{s:O}", "items", items));
	return d.bad ? REFUSE(REASON_CONFLICT, "doctor", "something is wrong; see above") : 0;
}
