/* What `mainstay` itself carries between the monitor and the hub: a body that the monitor made, and the hub's signed
 * answer, over the network or as files.  The monitor checks the answer again. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct command_call;

struct commands_hub {
	struct command_call *call;
	const char *
		verb; /* of the monitor, for the answer: "enrol.finish"; NULL: nobody waits for it */
	const char *
		again; /* what a person adds to `mainstay enrol` beside --answer: "" or " --rotate" */
	const char *ca;	   /* file, or NULL for the system's */
	uint8_t reply[32]; /* the hub's key */
	/* What its signed answer said of its clock less ours: out. */
	bool heard;
	int64_t offset_ms;
};

enum { COMMANDS_HUB_CA_MAX = 512 };
/* The CA of option --ca is kept in etc, where the monitor finds it for the courier.  *ret_ca is kept, or NULL where none
 * was given, now or before.  Returns 0, what command_read_file() refuses, or a fault. */
int commands_hub_ca(struct command_call *call, char kept[COMMANDS_HUB_CA_MAX], const char **ret_ca);

enum { COMMANDS_HUB_OFFSET_MAX = 24 };
/* offset_ms as a parameter's text.  Returns out. */
const char *commands_hub_offset(char out[COMMANDS_HUB_OFFSET_MAX], const struct commands_hub *h);

/* POST what the monitor began ({"url","body","nonce","proxy"}) and hand it the answer; *ret is the monitor's.
 * TLS
 * whose dates alone fail by our clock is checked against FLOOR_LEAST_US: the answer's signature is what counts.
 * Blocks; tries again where something else than the hub answered.  Returns 0, REASON_UNREACHABLE, the hub's or
 * the monitor's refusal, or a fault. */
int commands_hub_post(struct commands_hub *h, const json_t *begun, json_t **ret);

/* The same by files: write the body to out and say how to go on ... */
int commands_hub_write(const struct commands_hub *h, const json_t *begun, const char *out);
/* ... and hand the monitor the answer, as `curl -i` prints it or `mainstay-hubd enrol` writes it. */
int commands_hub_answer(const struct commands_hub *h, const char *file, json_t **ret);
