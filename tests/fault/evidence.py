"""What a site's disk says about its requests, read beside the programs that wrote it; and what of it does not fit."""

import base64
import glob
import hashlib
import json
import os
import struct

from estates import read

OVER = ("done", "refused")


def leaves(site):
    """All leaves of the audit log (appliance/audit/audit.h): length, checksum, record."""
    found = []
    for file in sorted(glob.glob(os.path.join(site, "lib", "audit", "records", "**", "*"), recursive=True)):
        if not os.path.isfile(file):
            continue
        with open(file, "rb") as f:
            data = f.read()
        at = 0
        while at + 8 <= len(data):
            length = struct.unpack(">I", data[at:at + 4])[0]
            if at + 8 + length > len(data):
                break
            found.append(json.loads(data[at + 8:at + 8 + length]))
            at += 8 + length
    return sorted(found, key=lambda leaf: leaf["n"])


def payload(envelope):
    return json.loads(base64.b64decode(envelope["payload"]), strict=False)


class Request:
    """lib/monitor/requests/ID.json."""

    def __init__(self, file):
        self.id = os.path.basename(file)[:-len(".json")]
        self.doc = json.loads(read(file), strict=False)
        self.args = payload(self.doc["envelope"])["args"]
        self.ticket = payload(self.doc["envelope"])["ticket"]
        self.digest = "sha256:" + hashlib.sha256(base64.b64decode(self.doc["envelope"]["payload"])).hexdigest()
        self.state, self.outcome, self.settled = self.doc["state"], self.doc.get("outcome"), self.doc["settled"]
        self.reason = self.doc.get("reason", "")


def requests(site):
    """{ticket: Request}; what a save is just replacing is read again."""
    found = {}
    for file in glob.glob(os.path.join(site, "lib", "monitor", "requests", "*.json")):
        request = Request(file)
        found[request.ticket] = request
    return found


def lines(site, name):
    return read(os.path.join(site, "lib", "services", "counted", "data", name)).split("\n")[:-1]


def recording(site, request):
    """(what is wrong with it, how it ended, its digest, what it shows); (None, None, None, None) where there is none."""
    file = os.path.join(site, "lib", "monitor", "recordings", request.id + ".cast")
    if os.path.exists(file + ".part"):
        return "its recording is still open", None, None, None
    if not os.path.exists(file):
        return None, None, None, None
    with open(file, "rb") as f:
        data = f.read()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    try:
        rows = [json.loads(line) for line in data.decode("utf-8").split("\n")[:-1]]
        head, events = rows[0], rows[1:]
        marker = events[-1]
        if not data.endswith(b"\n") or head["version"] != 2 or head["mainstay"]["request"] != request.digest:
            return f"its recording begins or ends oddly: {head}", None, digest, None
        if [e[1] for e in events] != ["o"] * (len(events) - 1) + ["m"]:
            return f"its recording has other events than output and one marker: {events[-3:]}", None, digest, None
        if sorted(e[0] for e in events) != [e[0] for e in events]:
            return "the times of its recording go back", None, digest, None
    except (ValueError, KeyError, IndexError, TypeError) as e:
        return f"its recording is no asciicast: {e!r}", None, digest, None
    return None, marker[2], digest, "".join(e[2] for e in events[:-1])


def wrong(site, request, verb):
    """What does not hold for a request that is over; "" where all does."""
    # A permit that did not count, limits that were lowered: those have a digest of their own.
    mine = [leaf for leaf in leaves(site) if leaf["object"] == request.id
            and (leaf["digest"] == request.digest or leaf["kind"] not in ("refuse", "deny"))]
    kinds = [leaf["kind"] for leaf in mine]
    starts, ends = kinds.count("start"), sum(kinds.count(k) for k in ("end", "refuse", "deny"))
    ran = lines(site, "runs")
    begun, ended = (ran.count(f"{word} {request.ticket}") for word in ("begin", "end"))
    told = f"{request.state}, {request.outcome} [{request.reason}], leaves {kinds}, ran {begun}, to its end {ended}"
    if any(leaf["digest"] != request.digest for leaf in mine):
        return f"a leaf about another request: {told}"
    if kinds[:1] != ["request"] and request.state == "done":
        return f"done, and no leaf says that it was asked for: {told}"
    if starts > 1 or begun > starts or ended > begun:
        return f"ran without its leaf, or twice: {told}"
    if ends != 1 or kinds[-1] not in ("end", "refuse", "deny"):
        return f"its end is not one leaf, the last one: {told}"
    if request.doc.get("decision") == "ask" and starts and "permit" not in kinds[:kinds.index("start")]:
        return f"ran without a permit: {told}"
    if request.outcome == "ok" and not verb and starts and (begun, ended) != (1, 1):
        return f"ok, and did not run to its end: {told}"
    if request.outcome == "refused" and begun:
        return f"refused, and ran: {told}"
    return wrong_recording(site, request, mine, begun) and f"{wrong_recording(site, request, mine, begun)}: {told}"


def wrong_recording(site, request, mine, begun):
    bad, how, digest, shown = recording(site, request)
    named = mine[-1].get("extra", {}).get("recording")
    if bad:
        return bad
    if (begun or request.outcome == "ok") and how is None and "start" in [leaf["kind"] for leaf in mine]:
        return "ran, and there is no recording"
    if named != digest:
        return f"its recording is {digest}, its last leaf says {named}"
    if request.outcome == "ok" and how is not None and how != "end: ok":
        return f"ok, its recording says {how}"
    if request.outcome == "ok" and how is not None and shown != payload(request.doc["result"])["stdout"] \
            and not payload(request.doc["result"])["truncated"]:
        return "ok, and its recording shows other output than its result"
    return ""
