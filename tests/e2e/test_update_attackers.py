"""What a thief of the hub gets with all of its keys and files when it turns to releases: delay, and a choice among what may run.

Each try is refused with its token and one leaf, and the service runs on.  The same by rows: tests/unit/updater/activate/
{assignment,update_fetch,core}.c and, for metadata, tests/unit/appliance/monitor/metadata.c.
"""

import glob
import json
import os
import shutil
import sqlite3
import time

from estate import CUSTOMER, SITE, Estate, until
from hub import Key, now

TARGET = "services/redis/7.0.15/index.json"


class Thief:
    """Has the hub's folder: its database, the director's key, and the repository that it serves."""

    def __init__(self, estate):
        self.estate = estate
        with open(estate.path("hub", "director.key")) as f:
            self.key = Key(bytes.fromhex(f.read().strip().split(":")[1]))
        self.db = glob.glob(estate.path("hub", "**", f"{CUSTOMER}.db"), recursive=True)[0]
        with sqlite3.connect(self.db, timeout=10) as con:
            self.counter = con.execute("SELECT counter FROM assignments WHERE site = ?", (SITE,)).fetchone()[0]

    def assign(self, releases, key=None, **other):
        """The hub hands this out from now on, whatever its director would say."""
        self.counter += 1
        payload = {"v": 1, "site": SITE, "counter": self.counter, "not_before": now(-60), "not_after": now(86400),
                   "releases": [{"service": s, "target": t, "sha256": "sha256:" + h} for s, t, h in releases]}
        envelope = (key or self.key).seal("assignment", {**payload, **other})
        with sqlite3.connect(self.db, timeout=10) as con:
            con.execute("UPDATE assignments SET envelope = ?, not_after = ? WHERE site = ?",
                        (json.dumps(envelope, separators=(",", ":")), int((time.time() + 86400 * 30) * 1e6), SITE))
        self.estate.mainstay("update", "check", code=None)


def outcome(estate):
    """All that a thief would like to change."""
    with open(estate.path("site", "lib", "cluster.lock")) as f:
        lock = f.read()
    with open(estate.path("site", "etc", "cluster.yaml")) as f:
        cluster = f.read()
    return lock, cluster, estate.shim()["pid"], len(estate.leaves(kind="activate")), sorted(
        set(os.listdir(estate.path("site", "lib", "store"))) - {".lock"})


def refused(estate, kind, reason, what):
    """Exactly one leaf of this reason comes."""
    leaves = until(f"{what}: refused {reason}", lambda: estate.leaves(kind="refuse", reason=reason, object=kind))
    assert len(leaves) == 1, (what, leaves)


def test_who_has_the_hub_installs_nothing():
    with Estate("update-attackers") as estate:
        estate.begin()
        estate.install_redis()
        with open(estate.path("site", "lib", "cluster.lock")) as f:
            release = json.load(f)["services"]["redis"]["release"]
        before, thief = outcome(estate), Thief(estate)
        good = [("redis", TARGET, release)]
        tries = (
            ("bytes that nobody signed", "redis", "hash-mismatch", dict(releases=[("redis", TARGET, "1" * 64)])),
            ("another site's", "assignment", "wrong-addressee", dict(releases=good, site="site2")),
            ("by a key of its own", "assignment", "unknown-key", dict(releases=good, key=Key())),
            ("one that is over", "assignment", "expired", dict(releases=good, not_before=now(-90000), not_after=now(-3600))),
            ("one of tomorrow", "assignment", "not-yet-valid", dict(releases=good, not_before=now(86400), not_after=now(90000))),
            ("an older one", "assignment", "rollback", dict(releases=good, counter=1)),
            ("with a word of its own", "assignment", "unknown-field", dict(releases=good, run="/bin/sh")),
        )
        for what, object_, reason, how in tries:
            thief.assign(**how)
            refused(estate, object_, reason, what)
            assert outcome(estate) == before, what
        # Services that the customer never named, and the core, are nobody's to direct.
        leaves = len(estate.leaves())
        thief.assign([("nginx", "services/nginx/1/index.json", "2" * 64), ("mainstay", "services/mainstay/9/index.json", "3" * 64),
                      *good])
        time.sleep(1)
        assert outcome(estate) == before and len(estate.leaves()) == leaves
        # The repository that it serves, with a timestamp of its own making.
        timestamp = estate.path("repo", "tuf", "timestamp.json")
        shutil.copy(timestamp, estate.path("kept"))
        with open(timestamp) as f:
            doc = json.load(f)
        doc["signed"]["version"] += 1
        with open(timestamp, "w") as f:
            json.dump(doc, f)
        assert "[bad-signature]" in estate.mainstay("update", "check", code=1).stderr
        refused(estate, "metadata", "bad-signature", "an altered timestamp")
        assert [p["reason"] for p in estate.status()["pending"] if p["kind"] == "metadata"] == ["bad-signature"]
        os.replace(estate.path("kept"), timestamp)
        estate.mainstay("update", "check")
        until("believed again", lambda: not [p for p in estate.status()["pending"] if p["kind"] == "metadata"])
        assert outcome(estate) == before and estate.redis("ping") == "PONG"
