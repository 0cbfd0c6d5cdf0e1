"""What stands on a site after a while without a change: processes, releases, files; read beside the programs, and what does not fit."""

import glob
import hashlib
import json
import os
import re
import time

from estates import COLLECTOR, COURIER, MONITOR, SHIM, SUPERVISOR, WORKERS, all_processes, is_boxed_of, pids_of, read
from evidence import leaves

DAEMONS = {"supervise": SUPERVISOR, "monitor": MONITOR, "collectd": COLLECTOR, "courier": COURIER}
# How long a program that has one thing to do may take, and how old a file may be that waits for its name.
PASSING_S = 10
# As status may say it too: of a policy that a person wrote, and did not come to apply.
NOT_APPLIED = "policy.yaml was edited and is not applied"


def document(*parts):
    text = read(os.path.join(*parts))
    return json.loads(text) if text else {}


def wanted(site):
    """The services of cluster.yaml: {name: {knob: value}}, the file being as our commands and people here write it."""
    found, name = {}, None
    for line in read(os.path.join(site, "etc", "cluster.yaml")).splitlines():
        if re.match(r"  [a-z-]+:$", line):
            name = line.strip(" :")
            found[name] = {}
        elif name and re.match(r"      [a-z-]+: ", line):
            knob, value = line.split(":")
            found[name][knob.strip()] = value.strip()
    return found


def locked(site):
    """{service: digest of its release}"""
    return {name: entry["release"] for name, entry in document(site, "lib", "cluster.lock").get("services", {}).items()}


def passing_files(site):
    """Files that are on their way to a name, for longer than any way takes."""
    found = []
    for folder, _, names in os.walk(site):
        # A service's own; and the shims' states, of which each shim writes its own: a boot empties the folder.
        if folder.endswith(("/data", "/run/shim")):
            continue
        for name in names:
            if name.startswith(".tmp.") or name.endswith((".part", ".new", ".bad", ".tmp")):
                try:
                    if time.time() - os.lstat(os.path.join(folder, name)).st_mtime > PASSING_S:
                        found.append(os.path.relpath(os.path.join(folder, name), site))
                except FileNotFoundError:
                    pass
    return found


# --- processes ----------------------------------------------------------------------------------------------------------


def wrong_daemons(e, status):
    """Each is there, once, and is the one that status names."""
    said = {d["name"]: d for d in status["daemons"]}
    for name, who in DAEMONS.items():
        pids = pids_of(e, who)
        if not said[name]["ready"] or pids != [said[name]["pid"]]:
            return f"status says of {name}: {said[name]}, there are {pids}"
    return ""


def wrong_trees(e, site, lock):
    """One shim and one tree of processes for each service of the lock, from the release that the lock names; no others."""
    shims = len(pids_of(e, SHIM))
    if shims != len(lock):
        return f"{shims} shims of {len(lock)} services"
    ours = list(all_processes())
    for name, release in lock.items():
        shim = document(site, "run", "shim", name + ".json")
        data = os.path.join(site, "lib", "services", name, "data")
        boxes = [(pid, words) for pid, words in ours if "bwrap" in words.split()[0] and f"--bind {data} " in words and "--block-fd" in words
                 and words.endswith("sleep 1000000")]
        if shim.get("release") != release or shim.get("state") != "running":
            return f"{name} is {shim.get('state')} of {shim.get('release')}, the lock says {release}"
        if len(boxes) != 1 or f"/store/{release}/" not in boxes[0][1]:
            return f"{name} has {len(boxes)} sandboxes: {boxes}"
        if not os.path.exists(f"/proc/{shim['pid']}"):
            return f"{name}'s state names a process that is gone: {shim}"
    mains = [pid for pid, words in ours if words == "/usr/bin/sleep 1000000" and is_boxed_of(site, pid)]
    if len(mains) != len(lock):
        return f"{len(mains)} processes of {len(lock)} services: {mains}"
    return ""


def wrong_workers(e):
    """Whoever has one thing to do is over with it."""
    for who in sorted(set(WORKERS)):
        for pid in pids_of(e, who):
            age = float(read("/proc/uptime").split()[0]) - int(read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
            if age > PASSING_S:
                return f"a worker, {who}, for {age:.0f} s"
    return ""


def wrong_groups(site, lock):
    """Control groups: one for each service, nobody's else, and in none of them anything but what belongs there."""
    place, mine = os.stat(os.path.join(site, "lib")), {line.split(":", 2)[2] for line in read("/proc/self/cgroup").splitlines()}
    name = f"mainstay.{place.st_dev:x}-{place.st_ino:x}"
    for root in {r for path in mine for top in ("/sys/fs/cgroup/*", "/sys/fs/cgroup") for r in glob.glob(f"{top}{path.rstrip('/')}/{name}")}:
        names = set(os.listdir(root))
        groups = {n for n in names if os.path.isdir(os.path.join(root, n))}
        if groups - set(lock):
            return f"control groups of nobody: {root} {sorted(groups - set(lock))}"
    return ""


# --- releases -----------------------------------------------------------------------------------------------------------


def wrong_store(site, lock):
    """Each tree is whole; what runs has one; nothing is half staged."""
    store = os.path.join(site, "lib", "store")
    names = set(os.listdir(store)) - {".lock"}
    trees = {n for n in names if re.fullmatch(r"[0-9a-f]{64}", n)}
    # What was cut off of a release that is still assigned is taken up by whoever stages that again.
    assigned = read(os.path.join(site, "lib", "monitor", "assignment.json"))
    odd = {n for n in names if n.removeprefix(".stage-")[:64] not in (trees if n[0] != "." else ()) and n.removeprefix(".stage-")[:64] not in assigned}
    if odd:
        return f"leftovers in the store: {sorted(odd)}"
    if set(lock.values()) - trees:
        return f"the lock names {set(lock.values()) - trees}, which the store has not"
    for tree in trees:
        index = document(store, tree + ".json")
        for entry in index.get("files", []):
            if "sha256" in entry:
                with open(os.path.join(store, tree, entry["path"].lstrip("/")), "rb") as f:
                    if hashlib.sha256(f.read()).hexdigest() != entry["sha256"].removeprefix("sha256:"):
                        return f"{tree}: {entry['path']} is not as its index says"
    return ""


def wrong_changes(site, lock):
    """The journal is over; each change of the history has one leaf, in its order; and what the last says runs, runs."""
    left = os.listdir(os.path.join(site, "lib", "monitor", "journal"))
    if left:
        return f"journals are left: {left}"
    history = document(site, "lib", "monitor", "update.json").get("history", [])
    told = [("activate" if h["outcome"] == "good" else "rollback", h["service"], h["to"]) for h in history]
    said = [(leaf["kind"], leaf["object"], leaf["digest"].removeprefix("sha256:")) for leaf in leaves(site)
            if leaf["kind"] in ("activate", "rollback")]
    if said[-len(told):] != told or len(history) < min(len(said), 10):
        return f"the history is {[brief(t) for t in told]}, the leaves are {[brief(s) for s in said]}"
    for name, release in lock.items():
        last = [h for h in history if h["service"] == name and h["outcome"] == "good"][-1:]
        if last and last[0]["to"] != release:
            return f"{name} runs {release}, the last good change led to {last[0]['to']}"
    return ""


def brief(row):
    return f"{row[0]} {row[1]} {row[2][:8]}"


def wrong_knobs(site):
    """What cluster.yaml turns stands in the service's file, and no turn is half done."""
    for name, knobs in wanted(site).items():
        if os.path.exists(os.path.join(site, "lib", "services", name, "set")):
            return f"a turn of {name} is half done"
        for knob, value in knobs.items():
            text = read(os.path.join(site, "lib", "services", name, "conf", knob))
            if text.split() != [knob, value]:
                return f"{name}'s {knob} is {value} in cluster.yaml, its file says {text!r}"
    return ""


# --- all of it ----------------------------------------------------------------------------------------------------------


def wrong(e):
    """What does not hold of a site that has nothing to do; "" where all does."""
    site = e.path("site")
    status = json.loads(e.mainstay("status", "--json", timeout=20).stdout)
    lock = locked(site)
    # An install that was cut off before anything of it was put in: the line stays, and it is said that nothing runs.
    absent = (set(wanted(site)) ^ set(lock)) - {s["name"] for s in status["services"] if not s["installed"] and s.get("why")}
    bad = [f"{s['name']} is {s['state']}, {s['health']}" for s in status["services"] if s["name"] in lock
           and (s["state"], s["health"], s["release"]) != ("running", "passing", "sha256:" + lock[s["name"]])]
    if absent:
        return f"cluster.yaml and cluster.lock differ by {sorted(absent)}: status says {status['services']}"
    if bad:
        return f"status says: {bad}"
    if status["update"]["state"] in ("activating", "failed"):
        return f"status says of updates: {status['update']}"
    pending = [p for p in status["pending"] if p["kind"] not in ("alert", "policy")]  # a policy that a person wrote, and did not come to apply
    if status["outbox"]["stuck"] or pending:
        return f"status says: outbox {status['outbox']}, pending {pending}"
    return (wrong_daemons(e, status) or wrong_trees(e, site, lock) or wrong_workers(e) or wrong_groups(site, lock) or wrong_store(site, lock)
            or wrong_changes(site, lock) or wrong_knobs(site) or (passing_files(site) and f"files without a name: {passing_files(site)}")
            or wrong_doctor(e))


def wrong_doctor(e):
    found = json.loads(e.mainstay("doctor", "--json", code=None, timeout=30).stdout)["items"]
    bad = [f"{i['check']}: {i['text']}" for i in found if not i["ok"] and i["check"] != "alert" and NOT_APPLIED not in i["text"]]
    return f"doctor finds {bad}" if bad else ""
