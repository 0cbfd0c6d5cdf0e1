"""What telemetry a site wrote, says was acknowledged, and what of it its hub has; and what of it does not fit."""

import glob
import json
import sqlite3
import struct

from estate import CUSTOMER, SITE
from estates import COLLECTOR, COURIER, HUB

# (what is happening, whose, the system call before which it dies, the how manieth of them: from, to)
POINTS = (
    ("a record is drawn up", COLLECTOR, "pwrite64", 1, 1),
    ("a record is written and not on the disk", COLLECTOR, "fdatasync", 1, 1),
    ("a record is on the disk", COLLECTOR, "pwrite64", 2, 2),
    ("a record that will go is made durable", COURIER, "fdatasync", 1, 1),
    ("a body goes", COURIER, "sendto", 1, 4),
    ("an answer comes", COURIER, "recvfrom", 1, 16),
    ("a place is written", COURIER, "fsync", 1, 1),
    ("a place gets its name", COURIER, "renameat", 1, 1),
    ("a place has its name", COURIER, "fsync", 2, 2),
    ("the collector is told", COURIER, "sendmsg", 1, 1),
    ("rows are written", HUB, "pwrite64", 1, 40),
    ("rows are made durable", HUB, "fdatasync", 1, 3),
    ("rows are there, the answer is not", HUB, "writev", 1, 2),
)

def records(segment):
    """[(sequence, where its payload lies, how long that is)] (appliance/record/segment.h)"""
    with open(segment, "rb") as f:
        data = f.read()
    found, at = [], 28
    while at + 20 <= len(data):
        length, _, sequence = struct.unpack(">IIQ", data[at:at + 16])
        if at + 20 + length <= len(data):
            found.append((sequence, at + 20, length))
        at += 20 + length
    return found


class Shipped:
    """One stream of one site."""

    def __init__(self, estate, stream="metrics"):
        self.e, self.stream = estate, stream
        self.lanes = (stream, stream + "-fresh")
        self.db = glob.glob(estate.path("hub", "**", f"{CUSTOMER}.db"), recursive=True)[0]

    def rows(self):
        """{lane: [(sequence, when it came)]} in the order of their sequences."""
        with sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=10) as db:
            return {lane: db.execute("SELECT sequence, time FROM batches WHERE site = ? AND stream = ? ORDER BY sequence",
                                     (SITE, lane)).fetchall() for lane in self.lanes}

    def acks(self):
        with open(self.e.path("site", "lib", "courier", "acks.json"), encoding="utf-8") as f:
            return json.load(f)

    def ledger(self):
        return [i["sequence"] for i in self.e.mainstay_json("telemetry", "sent")["items"] if i["stream"] == self.stream]

    def ledger_end(self):
        segments = glob.glob(self.e.path("site", "lib", "telemetry", "spool", self.stream, "*.seg"))
        return max((sequence for sequence, _, _ in records(max(segments))), default=0) if segments else 0

    def newest(self):
        """At the hub."""
        return max((s for lane in self.lanes for s, _ in self.rows()[lane]), default=0)

    def missing(self):
        """Counted by the courier as not arrived: {what: how many}."""
        counts = self.acks().get("counts", {}).get(self.stream, {})
        return {k: v for k, v in counts.items() if isinstance(v, int)}

    def wrong(self):
        """What does not hold now; "" where all does."""
        acks = self.acks()  # first: the hub only ever has more
        rows = self.rows()
        old, fresh = ([s for s, _ in rows[lane]] for lane in self.lanes)
        both = set(old) & set(fresh)
        if both:
            return f"in both lanes: {sorted(both)}"
        done = acks["streams"].get(self.stream, 0)
        ahead = acks.get("ahead", {}).get(self.stream, [])
        said = set(range(1, done + 1)).union(*(range(a, b + 1) for a, b in zip(ahead[::2], ahead[1::2])))
        lost = said - set(old) - set(fresh)
        if len(lost) != sum(self.missing().values()):
            return f"acknowledged and not at the hub: {sorted(lost)}, counted {self.missing()}"
        for lane in self.lanes:
            times = [t for _, t in rows[lane]]
            if times != sorted(times):
                return f"{lane} out of order"
        return ""

    def all_arrived(self):
        ledger = set(self.ledger())
        rows = self.rows()
        return len(ledger - {s for lane in self.lanes for s, _ in rows[lane]}) <= sum(self.missing().values())
