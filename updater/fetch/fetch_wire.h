/* Fetching for the monitor (data only).  The courier GETs what the monitor names and believes nothing.
 *
 *	courier                                        monitor
 *	  update.metadata {name: FILE..., absent: FILE...}  ->
 *	                                            <- {"need":[FILE...],"current":bool}
 *	     GET /tuf/FILE -> incoming/tuf/FILE, again until need is empty
 *	  update.assignment, body: envelope assignment@     ->
 *	                                            <- {"metadata":bool}   true: do the first step once more
 *	  update.objects {absent: HEX...}                   ->
 *	                                            <- {"missing":[HEX...]}   empty: all there
 *	     GET /objects/aa/HEX.zst -> incoming/objects/aa/HEX.zst, again until missing is empty
 *
 *	event "fetch" of the monitor: begin now. */
#pragma once

#define FETCH_WIRE_METADATA   "update.metadata"
#define FETCH_WIRE_ASSIGNMENT "update.assignment"
#define FETCH_WIRE_OBJECTS    "update.objects"
#define FETCH_WIRE_EVENT      "fetch"

enum {
	FETCH_WIRE_NEED_MAX = 60,                          /* files or objects named in one answer */
	FETCH_WIRE_METADATA_MAX = 5 * 1000 * 1000,         /* bytes of one file below /tuf */
	FETCH_WIRE_ASSIGNMENT_MAX = 64 * 1024,
	FETCH_WIRE_OBJECT_MAX = 1024 * 1024 * 1024,        /* compressed */
	FETCH_WIRE_ROUNDS_MAX = 512,                       /* of asking in one run: root rotations are one each */
};
