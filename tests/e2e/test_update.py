"""Releases reach a site, and only those that may: install, update, rollback, what a hub's owner tries, what a crash leaves.

Redis is Debian's; every release is built, signed and published by mainstay-release, applied by `mainstay`.
"""

import fcntl
import glob
import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import types
import urllib.parse

import pytest

from estate import BIN, CUSTOMER, ROOT, SITE, Estate, until
from hub import Client, Key, now

REDIS = os.path.join(ROOT, "packaging", "services", "redis")


def refused(done, token, *texts):
    """A command's refusal: exit 1, its token and what it says."""
    assert done.returncode == 1, done.stdout + done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("mainstay: ")][-1]
    assert f"[{token}]" in last and all(text in last for text in texts), last


def variant(estate, version, *changes):
    """A folder of Redis with another version and these replacements in service.yaml."""
    folder = estate.path(f"redis-{version}")
    shutil.copytree(REDIS, folder)
    file = os.path.join(folder, "service.yaml")
    with open(file) as f:
        text = f.read()
    for old, new in (('version: "7.0.15"', f'version: "{version}"'), *changes):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with open(file, "w") as f:
        f.write(text)
    return folder


def lock(estate):
    """What cluster.lock says of Redis; None where it runs no release."""
    try:
        with open(estate.path("site", "lib", "cluster.lock")) as f:
            return json.load(f)["services"].get("redis")
    except FileNotFoundError:
        return None


def journal(estate):
    try:
        with open(estate.path("site", "lib", "monitor", "journal", "change.json")) as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def trees(estate):
    """What stands in the store, leftovers included."""
    return sorted(set(os.listdir(estate.path("site", "lib", "store"))) - {".lock"})


def site_log(estate):
    with open(os.path.join(estate.logs, "site.log")) as f:
        return f.read()


def said(estate, token, text):
    """Lines of the site's daemons that refuse with token."""
    return [line for line in site_log(estate).splitlines() if f"[{token}] (" in line and text in line]


def planned(estate):
    """The digest of a plan that has something to apply."""
    plan = estate.mainstay_json("update", "plan")
    return plan["digest"] if plan["items"] else None


def update_status(estate):
    return estate.mainstay_json("update", "status")


# --- the whole way ---------------------------------------------------------------------------------------------------


def first_install(estate):
    estate.install_redis()
    first = lock(estate)
    assert first["version"] == "7.0.15" and first["counter"] == 1
    assert update_status(estate)["state"] == "good"
    assert estate.redis("ping") == "PONG"
    assert estate.redis("config", "get", "maxmemory").split()[-1] == str(64 << 20)
    estate.redis("set", "kept", "yes")
    refused(estate.mainstay("service", "install", "redis", code=1), "conflict", "is installed already")
    refused(estate.mainstay("update", "apply", code=1), "not-found", "every service runs its assigned release")
    refused(estate.mainstay("update", "rollback", "redis", code=1), "not-found", "no release ran before")
    assert lock(estate) == first
    return first


def cut_off(estate):
    """Metadata as a courier left it that was killed over it, of a number that no run comes back to."""
    file = estate.path("site", "lib", "incoming", "tuf", "0.targets.json.part")
    shutil.copyfile(estate.path("repo", "tuf", "1.root.json"), file)
    return file


def second_release(estate, first):
    estate.publish(variant(estate, "7.0.15-2", ("default: 64mb", "default: 96mb")))
    cut = cut_off(estate)
    estate.mainstay("update", "check")
    digest = until("a plan", lambda: planned(estate))
    assert not os.path.exists(cut), "what was cut off of a fetch stays"
    assert lock(estate) == first, "a release was put in by itself"
    refused(estate.mainstay("update", "apply", "--plan", "sha256:" + "0" * 64, code=1), "state-moved", "the plan is")
    estate.mainstay("update", "hold")
    refused(estate.mainstay("update", "apply", code=1), "denied", "updates are held")
    estate.mainstay("update", "unhold")
    # The plan carries whether updates were held, so it is the same one again.
    assert planned(estate) == digest and lock(estate) == first
    estate.mainstay("update", "apply", "--plan", digest)
    second = lock(estate)
    assert second["version"] == "7.0.15-2" and second["counter"] == 2
    assert estate.service("redis")["health"] == "passing"
    assert estate.redis("config", "get", "maxmemory").split()[-1] == str(96 << 20)
    assert estate.redis("get", "kept") == "yes"
    return second


def third_release_fails(estate, second):
    folder = variant(estate, "7.0.15-3", ("    - /usr/bin/redis-cli", "    - /usr/bin/redis-cli\n    - /usr/bin/false"),
                     ("exec:\n  - /usr/bin/redis-server", "exec:\n  - /usr/bin/false"))
    estate.publish(folder)
    estate.mainstay("update", "check")
    digest = until("a plan", lambda: planned(estate))
    refused(estate.mainstay("update", "apply", "--plan", digest, code=1), "state-moved", "redis: start: is failed",
            "; now redis 7.0.15-2 is running, health passing")
    assert lock(estate) == second
    status = update_status(estate)
    assert status["state"] == "rolled-back" and status["reason"] == "state-moved"
    until("Redis of release 2", lambda: estate.service("redis")["health"] == "passing")
    assert estate.redis("config", "get", "maxmemory").split()[-1] == str(96 << 20)
    assert estate.redis("get", "kept") == "yes"
    assert [i["reason"] for i in estate.leaves(kind="rollback")] == ["state-moved"]
    assert [i["outcome"] for i in estate.mainstay_json("update", "history")["items"]] == ["good", "good", "rolled-back"]
    assert journal(estate) is None


class Attacker:
    """Owns the hub: its database and the director's key."""

    def __init__(self, estate):
        with open(estate.path("hub", "director.key")) as f:
            self.key = Key(bytes.fromhex(f.read().strip().split(":")[1]))
        self.db = glob.glob(estate.path("hub", "**", f"{CUSTOMER}.db"), recursive=True)[0]
        with sqlite3.connect(self.db, timeout=10) as con:
            self.counter = con.execute("SELECT counter FROM assignments WHERE site = ?", (SITE,)).fetchone()[0]

    def assign(self, target, release, counter):
        """The hub hands this out from now on."""
        envelope = self.key.seal("assignment", {
            "v": 1, "site": SITE, "counter": counter, "not_before": now(-60), "not_after": now(86400),
            "releases": [{"service": "redis", "target": target, "sha256": "sha256:" + release}]})
        with sqlite3.connect(self.db, timeout=10) as con:
            con.execute("UPDATE assignments SET envelope = ?, not_after = ? WHERE site = ?",
                        (json.dumps(envelope, separators=(",", ":")), int((time.time() + 86400 * 30) * 1e6), SITE))


def attacked(estate, first, second):
    """The director sends the site back; what else it may try: test_update_attackers.py."""
    attacker = Attacker(estate)
    pid, leaves = estate.shim()["pid"], len(estate.leaves(kind="activate"))
    attacker.assign("services/redis/7.0.15/index.json", first["release"], attacker.counter + 1)
    estate.mainstay("update", "check")
    until("the older release is refused", lambda: said(estate, "rollback", "which runs"))
    until("status says why", lambda: update_status(estate)["reason"] == "rollback")
    assert [i["object"] for i in estate.leaves(kind="refuse", reason="rollback")] == ["redis"]
    refused(estate.mainstay("update", "apply", code=1), "not-found", "every service runs its assigned release")
    assert lock(estate) == second and estate.shim()["pid"] == pid
    assert len(estate.leaves(kind="activate")) == leaves
    assert estate.redis("ping") == "PONG"


def what_cannot_be_forgotten_is_put_back(estate):
    """It is stopped before it is forgotten: one that cannot be forgotten runs again when that is said."""
    accepted, before = estate.path("site", "lib", "monitor", "accepted.json"), lock(estate)
    pid = estate.shim()["pid"]
    os.rename(accepted, accepted + ".aside")
    os.mkdir(accepted)
    refused(estate.mainstay("service", "remove", "redis", code=1), "malformed", "accepted.json")
    assert [(i["object"], i["reason"]) for i in estate.leaves(kind="service")][-2:] == [("redis remove", ""), ("redis remove", "malformed")]
    os.rmdir(accepted)
    os.rename(accepted + ".aside", accepted)
    assert lock(estate) == before and estate.shim()["pid"] not in (0, pid)
    until("Redis again", lambda: estate.service("redis")["health"] == "passing")
    assert estate.redis("get", "kept") == "yes"


def back_by_hand(estate, first):
    estate.mainstay("update", "rollback", "redis")
    assert lock(estate)["release"] == first["release"]
    assert estate.redis("config", "get", "maxmemory").split()[-1] == str(64 << 20)
    assert estate.redis("get", "kept") == "yes"
    refused(estate.mainstay("service", "accept", "redis", "operation", code=2) and
            estate.mainstay("service", "accept", "redis", "operation", "nothing", code=1), "not-found",
            "no such operation")
    refused(estate.mainstay("service", "accept", "redis", "collector", "nothing", code=1), "not-found",
            "no such field")
    what_cannot_be_forgotten_is_put_back(estate)
    estate.mainstay("service", "remove", "redis")
    assert lock(estate) is None and not estate.pids("redis-server")
    assert os.path.isdir(estate.path("site", "lib", "services", "redis", "data"))
    refused(estate.mainstay("service", "remove", "redis", code=1), "not-found", "names no such service")


@pytest.mark.flow
def test_releases_come_go_and_go_back():
    with Estate("update") as estate:
        estate.begin()
        first = first_install(estate)
        second = second_release(estate, first)
        third_release_fails(estate, second)
        attacked(estate, first, second)
        back_by_hand(estate, first)


# --- what is refused, and what a crash leaves --------------------------------------------------------------------------


def served(estate, path, **headers):
    with open(estate.path("facts.json")) as f:
        authority = urllib.parse.urlsplit(json.load(f)["url"]).netloc
    hub = types.SimpleNamespace(ca=estate.path("hub", "ca.pem"), authority=authority)
    reply = Client(hub, None).send("GET", "/" + path, b"", {k.replace("_", "-"): v for k, v in headers.items()}, None)
    with open(estate.path("repo", *path.split("/")), "rb") as f:
        return reply, f.read()


def web_server_knows_parts_and_compression(estate):
    """What makes an update cheap is nginx's to do: parts of packs, and text that is compressed on its way."""
    pack = os.path.basename(glob.glob(estate.path("repo", "packs", "*"))[0])
    reply, whole = served(estate, f"packs/{pack}", Range="bytes=3-9")
    assert reply.status == 206 and reply.body == whole[3:10]
    assert reply.headers["content-range"] == f"bytes 3-9/{len(whole)}"
    index = os.path.relpath(glob.glob(estate.path("repo", "tuf", "targets", "services", "redis", "*", "*.index.json"))[0],
                            estate.path("repo"))
    reply, whole = served(estate, index, Accept_Encoding="gzip")
    assert reply.headers["content-encoding"] == "gzip" and gzip.decompress(reply.body) == whole
    reply, whole = served(estate, index)
    assert "content-encoding" not in reply.headers and reply.body == whole


def altered_bytes(estate):
    """One object holds other bytes, and so do the packs, which bring it too; everything else is as it was signed."""
    victim = max(glob.glob(estate.path("repo", "objects", "*", "*.zst")), key=os.path.getsize)
    packs = glob.glob(estate.path("repo", "packs", "*"))
    assert packs, "a release without packs"
    with open(estate.path("evil"), "wb") as f:
        f.write(b"#!/bin/sh\ntouch /data/owned\n")
    subprocess.run(["zstd", "-qf", estate.path("evil"), "-o", victim], check=True)
    whole = {}
    for pack in packs:
        with open(pack, "rb") as f:
            whole[pack] = f.read()
        with open(pack, "wb") as f:
            f.write(bytes(len(whole[pack])))
    refused(estate.mainstay("service", "install", "redis", code=1), "hash-mismatch", "the object's bytes are others")
    assert len(said(estate, "malformed", "zstd")) > 1, "what the packs brought was not looked at"
    assert [i["object"] for i in estate.leaves(kind="refuse", reason="hash-mismatch")] == ["redis"]
    assert lock(estate) is None and trees(estate) == [] and journal(estate) is None
    assert not estate.pids("redis-server")
    # The packs are whole again and the object stays altered: that alone stops nobody, for a pack brings the bytes.
    for pack, was in whole.items():
        with open(pack, "wb") as f:
            f.write(was)
    return victim


def install_begun(estate):
    return subprocess.Popen([os.path.join(BIN, "mainstay"), "--state", estate.path("site"), "service", "install", "redis"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_while_staging(estate):
    """SIGKILL of mainstayd and of the worker that waits for the store, which the test holds: nothing was begun."""
    with open(estate.path("site", "lib", "store", ".lock"), "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = install_begun(estate)
        worker = until("the worker that stages", lambda: estate.pids("mainstay-activate"))
        assert journal(estate) is None and command.poll() is None
        os.kill(estate.pids("mainstayd")[0], signal.SIGKILL)
        os.kill(worker[0], signal.SIGKILL)
        assert command.wait(30) != 0
    until("the monitor again", lambda: estate.status() and estate.pids("mainstayd"))
    assert lock(estate) is None and journal(estate) is None and not estate.pids("redis-server")
    assert estate.mainstay_json("update", "history")["items"] == []


def killed_in_the_change(estate):
    """SIGKILL of mainstayd while what it started is watched, which takes seconds; returns what became of the change."""
    command = install_begun(estate)
    until("the change's watch", lambda: [s["step"] for s in (journal(estate) or {"services": []})["services"]] in
          (["health"], ["soak"]), timeout=90)
    os.kill(estate.pids("mainstayd")[0], signal.SIGKILL)
    assert command.wait(30) != 0
    until("the monitor again", lambda: estate.status() and estate.pids("mainstayd"))
    until("the change's end", lambda: journal(estate) is None and update_status(estate)["state"] in ("good", "rolled-back"))
    return estate.mainstay_json("update", "history")["items"][-1]


def test_what_may_not_be_installed_is_not():
    with Estate("update-refused") as estate:
        estate.vendor()
        estate.start_site()
        refused(estate.mainstay("service", "install", "redis", code=1), "not-approved", "no engineer-signed site record")
        estate.enrol()
        estate.policy()
        refused(estate.mainstay("service", "install", "redis", code=1), "switched-off", "updates switch")
        refused(estate.mainstay("update", "check", code=1), "switched-off", "updates switch is off")
        refused(estate.mainstay("service", "remove", "redis", code=1), "not-found", "names no such service")
        assert not os.path.exists(estate.path("site", "etc", "cluster.yaml"))
        estate.mainstay("on", "all")
        web_server_knows_parts_and_compression(estate)
        victim = altered_bytes(estate)
        # What was bad is fetched anew, from the packs.  Now a crash in the middle, twice.
        killed_while_staging(estate)
        assert killed_in_the_change(estate)["outcome"] == "good"
        assert os.path.getsize(victim) < 100, "the object is still the altered one"
        assert lock(estate)["version"] == "7.0.15" and not [t for t in trees(estate) if t.startswith(".")]
        until("Redis passing", lambda: estate.service("redis")["health"] == "passing")
        assert len(estate.pids("redis-server") or [estate.shim()["pid"]]) == 1
        assert estate.redis("ping") == "PONG"
        estate.mainstay("off", "updates")
        refused(estate.mainstay("update", "check", code=1), "switched-off", "updates switch is off")
