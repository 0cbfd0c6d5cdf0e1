/* `mainstay requests …`: the customer's side of one operation. */
#pragma once

struct command;

/* Ends with a NULL name; for the table of cmd/mainstay.c. */
extern const struct command request_commands[];
