/* What each command of the desk does; the table is in desk_commands.c, whose help says it of each.
 *
 * Each is a command's run function (base/command.h): call is borrowed; it blocks until what was asked is done, and
 * prints what it saw on stdout, as text or with --json.  Returns 0; the reason why it or the hub refused (command_main()
 * prints it, once); or a fault.  One whose wait ends first does not return: the program ends with COMMAND_EXIT_LATER. */
#pragma once

struct command_call;

int desk_login(struct command_call *call);
int desk_accept(struct command_call *call);
int desk_fleet_list(struct command_call *call);
int desk_fleet_show(struct command_call *call);
int desk_request(struct command_call *call);
int desk_import(struct command_call *call);
int desk_run(struct command_call *call);
int desk_cancel(struct command_call *call);
int desk_operations(struct command_call *call);
int desk_requests(struct command_call *call);
int desk_audit_verify(struct command_call *call);
