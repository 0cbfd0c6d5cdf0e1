/* What can stand on a command line, for completion: sites, their services, operations and arguments, as this desk saw them
 * last.  STATE/desk/CARD-KEY/words/SITE.json; hints, nothing that is believed.
 *
 *	{"services":{NAME:{"release":HEX,"operations":{NAME:{ARG:[VALUE...]}}}}}      VALUE: what an enum allows */
#pragma once

struct command_complete;
struct definition;
struct desk;
struct desk_site;

/* Remember the services of a site that was verified; where a service runs another release than was seen, its operations
 * are forgotten.  What cannot be written is not remembered. */
void desk_words_site(struct desk *d, const struct desk_site *s);

/* Remember the operations of a service, from its definition. */
void desk_words_definition(struct desk *d, const struct desk_site *s, const char *service,
	const struct definition *definition);

/* Fetch the definitions of what is not known of this site, and remember their operations.  Blocks on the hub. */
void desk_words_learn(struct desk *d, const struct desk_site *s);

/* For command_program.complete: an operand by its place in the command's "SITE SERVICE OPERATION [ARG=V...]".  No
 * network; all cards and keys of the state folder. */
void desk_words_complete(const struct command_complete *ask);
