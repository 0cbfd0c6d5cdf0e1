/* Ids of the messages that the monitor copies to the host's journal and syslog, one a kind of leaf; they never
 * change.  `journalctl MESSAGE_ID=...` finds all of a kind.
 *
 * CATALOGUE(kind, id, cause, remedy) */
#pragma once

#define CATALOGUE(X)                                                                               \
	X(AUDIT_ENROL, "aeddb808c77c497584442e1d2661ccdd",                                         \
		"The site enrolled with a vendor, or an engineer's site record arrived.",          \
		"Nothing to do if you enrolled it; else `mainstay leave`.")                        \
	X(AUDIT_SWITCH, "fd34791ddb804c5eae473bed95b6c0a6", "A switch went on or off.",            \
		"`mainstay status` shows the switches; `mainstay off NAME` closes one at once.")   \
	X(AUDIT_POLICY, "8811e39850294d2eb3d4b81315115780", "Another policy came into force.",     \
		"`mainstay policy diff` shows what it allows.")                                    \
	X(AUDIT_REQUEST, "a6eeb557cde04fc5bc9531a2c4fb93f8",                                       \
		"An engineer's request arrived and was checked.",                                  \
		"`mainstay requests show ID` says what would run.")                                \
	X(AUDIT_REFUSE, "e344179dc18d407bb3f665c393a1e185",                                        \
		"Something that was brought to the site was refused; the reason says why.",        \
		"The same reason over and over, with high counts: ask the vendor; somebody tries " \
		"something.")                                                                      \
	X(AUDIT_PERMIT, "414db5380a764984ae8bbfd46f6f38e2",                                        \
		"One of your approvers permitted a request.",                                      \
		"`mainstay requests show ID`; deny what should not run.")                          \
	X(AUDIT_DENY, "02f921e996c247538839dd27baf4ee59",                                          \
		"A request was denied, or, where no reason stands, its limits were lowered.", "None.") \
	X(AUDIT_START, "de6b4ce28c3f43aeb9ffca34ed2345e7", "An operation began.",                  \
		"`mainstay requests show ID`; `mainstay off remote` ends it.")                     \
	X(AUDIT_END, "de3cdd64b49f4ec6b99a092310e38d02",                                           \
		"An operation ended; the reason is empty where it was well.",                      \
		"`mainstay requests show ID` has its result.")                                     \
	X(AUDIT_UPDATE, "6b0ca5e92efc410c81754004b7cb58f8",                                        \
		"An update was planned, held or let go.", "`mainstay update status`.")             \
	X(AUDIT_ACTIVATE, "3d1199cf82a242c38bf0ea467fcd637e", "A release was activated.",          \
		"`mainstay update history`.")                                                      \
	X(AUDIT_ROLLBACK, "33456fa26bc04d868899355c4035daf4", "A release was taken back.",         \
		"`mainstay update status` says why.")                                              \
	X(AUDIT_SERVICE, "5feaf459c04048d99af3f1f39fd9e31b",                                       \
		"A service was installed, removed, started, stopped or set.",                      \
		"`mainstay service list`.")                                                        \
	X(AUDIT_ALERT, "4a18995cc1044157871e486cabb7e6ec", "An alert fired or was resolved.",      \
		"`mainstay status` lists those that fire.")                                        \
	X(AUDIT_LEAVE, "7ea959cf7d0a4b62b474646e98e9322c", "The site left its vendor.", "None.")   \
	X(AUDIT_ACCEPT, "abdb6037e8a6484db333c7eeaf66a0fc",                                        \
		"Somebody accepted operations or fields of telemetry.",                            \
		"`mainstay policy diff`, `mainstay telemetry review`.")                            \
	X(AUDIT_CANCEL, "85feeb0a102b481ebb857828e65e2e62", "A running operation was cancelled.",  \
		"`mainstay requests show ID`.")                                                    \
	X(AUDIT_ROTATE, "94996044e5304bba839bf7996c1664a6",                                        \
		"A key was rotated, or records of the log were erased.",                           \
		"`mainstay audit verify` reports how many are erased.")                            \
	X(AUDIT_CLONE, "9c95063611b743918568aa6d58622d6a",                                         \
		"This log is not the one that a witness saw: the disk was restored or the site "   \
		"was copied.",                                                                     \
		"Find the copy; enrol one of the two anew. `mainstay audit head` shows both "      \
		"heads.")
