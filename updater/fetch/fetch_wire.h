/* Fetching for the monitor (data only).  The courier GETs what the monitor names and believes nothing.
 *
 *	courier                                        monitor
 *	  update.metadata {name: FILE..., absent: FILE...}  ->
 *	                                            <- {"need":[FILE...],"current":bool}
 *	     GET /tuf/FILE -> incoming/tuf/FILE, again until need is empty
 *	  update.assignment, body: envelope assignment@     ->
 *	                                            <- {"metadata":bool}   true: do the first step once more
 *	  update.objects {absent: NAME..., trouble: TOKEN} ->
 *	                                            <- {"missing":[[NAME,CAP]...],"ranges":[RANGE...]}   both empty: all there
 *	     NAME is HEX:      GET /objects/aa/HEX.zst -> incoming/objects/aa/HEX.zst
 *	             FROM-TO:  GET /patches/FROM-TO.zst -> incoming/patches/FROM-TO.zst
 *	     RANGE is {"pack":HEX,"at":N,"members":[[NAME,LENGTH]...]}: GET /packs/HEX, the bytes from N on; they are the
 *	     members one behind the other, each into the file that NAME has above, "" for bytes that nobody wants
 *	     again until both are empty.  absent: of a name, or of "packs/HEX", the hub has none.  trouble: why the last
 *	     run ended, where the customer can mend it ("no-space").
 *	  update.stopped {reason: TOKEN, why: TEXT}         ->   a run ended before it was through: "unreachable"; "not-found"
 *	     where the hub has no assignment; "interrupted" where the monitor refused what came.  A hint for who waits
 *
 *	CAP: bytes that the file may have at most.  The monitor chooses what costs least (updater/object/pack.h); the courier
 *	only carries.
 *
 *	event "fetch" of the monitor: begin now. */
#pragma once

#define FETCH_WIRE_METADATA   "update.metadata"
#define FETCH_WIRE_ASSIGNMENT "update.assignment"
#define FETCH_WIRE_OBJECTS    "update.objects"
#define FETCH_WIRE_STOPPED    "update.stopped"
#define FETCH_WIRE_EVENT      "fetch"

enum {
	FETCH_WIRE_NEED_MAX = 60,                          /* files or objects named in one answer */
	FETCH_WIRE_RANGES_MAX = 60,                        /* ranges in one answer */
	FETCH_WIRE_MEMBERS_MAX = 2048,                     /* of all ranges in one answer */
	FETCH_WIRE_METADATA_MAX = 5 * 1000 * 1000,         /* bytes of one file below /tuf */
	FETCH_WIRE_ASSIGNMENT_MAX = 64 * 1024,
	FETCH_WIRE_OBJECT_MAX = 1024 * 1024 * 1024,        /* compressed */
	FETCH_WIRE_ROUNDS_MAX = 512,                       /* of asking in one run: root rotations are one each */
};
