/* What each command of the desk does; the table is in desk_commands.c. */
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
