"""Each verb that changes a site, on a disk without room: it says so, nothing of it is done, and it does when there is room."""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from estate import APPROVER, SITE, Estate, until  # pylint: disable=wrong-import-position

SERVICE = """name: {name}
version: "{version}"
payload: {{programs: [/bin/dash, /bin/sleep]}}
exec: [/usr/bin/dash, -c, "exec /usr/bin/sleep 1000000"]
stop: {{grace: 200ms}}
config: [{{path: level, template: level, format: conf}}]
secrets: {{word: {{bytes: 24, help: a word}}}}
knobs: {{level: {{type: int, min: 0, max: 9, default: 1, apply: restart, help: how much}}}}
health: {{type: exec, argv: [/usr/bin/sleep, "0"], period: 200ms, timeout: 1s, failures: 2, within: 20s, soak: 300ms}}
operations:
  restart: {{help: stop it and start it, verb: restart, risk: change, timeout: 1m, undo: none}}
"""
POLICY = """v: 1
approvers: [{{name: olga, key: "{key}"}}]
rules: [{{services: ["*"], risk: [change], decision: ask}}]
"""
# What people and releases decide; beside it the monitor keeps what it saw by itself.
KEPT = re.compile(r"etc/|lib/cluster\.lock|lib/services/[^/]*/(conf|secrets)/|lib/store/|"
                  r"lib/monitor/(accepted|policy|permits|mutes|held|requests/|journal/|site|card|pseudonym)")


class Full(Estate):
    """Its site's disk is a tmpfs of its own; the folder of sockets is another, as /run is elsewhere."""

    def mount(self, size):
        for folder, room in ((self.path("site"), size), (self.path("site", "run"), "4m")):
            os.makedirs(folder)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room},mode=755", "mainstay-full", folder], check=True)

    def fill(self):
        """All of it, the audit log's reserve, too."""
        with open(self.path("site", "rest"), "ab", buffering=0) as f:
            for size in (1 << 20, 4096):
                try:
                    while f.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass

    @contextlib.contextmanager
    def kept_full(self):
        """Daemons give files back at any time: nobody else is to find that room."""
        over = threading.Event()

        def keep():
            while not over.wait(0.001):
                self.fill()

        keeper = threading.Thread(target=keep)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def make_room(self):
        if os.path.exists(self.path("site", "rest")):
            os.unlink(self.path("site", "rest"))

    def spend_the_reserve(self):
        """The reserve takes some leaves more."""
        refused = 0
        for i in range(400):
            self.fill()
            refused += self.mainstay("update", "unhold" if i % 2 else "hold", code=None).returncode != 0
            if refused == 3:
                return
        raise AssertionError("the reserve has no end")

    def kept(self):
        """{path: what it is}"""
        found, top = {}, self.path("site")
        for at, folders, names in os.walk(top):
            for name in names + folders:
                path = os.path.join(at, name)
                short = os.path.relpath(path, top)
                if not KEPT.match(short):
                    continue
                if os.path.islink(path) or os.path.isdir(path):
                    found[short] = "folder"
                else:
                    with open(path, "rb") as f:
                        found[short] = hashlib.sha256(f.read()).hexdigest()
        return found

    def publish_service(self, name, version):
        folder = self.path("sources", name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "service.yaml"), "w", encoding="utf-8") as f:
            f.write(SERVICE.format(name=name, version=version))
        with open(os.path.join(folder, "level"), "w", encoding="utf-8") as f:
            f.write("level {{knob.level}}\n")
        self.publish(folder)

    def ask(self):
        """A request that waits for the approver: its id."""
        before = {r["id"] for r in self.requests(state="waiting")}
        self.desk("run", SITE, "tuned", "restart", "--reason", "look", "--ticket", "T-1", "--wait", "1s", code=None)
        return until("a request waits", lambda: [r["id"] for r in self.requests(state="waiting") if r["id"] not in before])[0]


def not_refused(done):
    """What is said instead of that there is no room, with the exit code of a refusal; or None."""
    said = [line for line in done.stderr.splitlines() if line.startswith("mainstay: ")]
    if done.returncode == 1 and said and "[no-space]" in said[-1]:
        return None
    return f"on a full disk exit {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}"


def enrolment(e):
    """A site is enrolled on a full disk, which does not use its token up."""
    e.token()
    shown = e.mainstay(*e.enrol_args(), "--show").stdout
    fingerprint = next(w for w in shown.split() if w.startswith("sha256:"))
    enrol = e.enrol_args() + ["--accept", fingerprint]
    e.fill()
    for _ in range(40):
        done = e.mainstay(*enrol, code=None)
        if done.returncode == 1 and "no-space" in done.stderr:
            break
        e.fill()
    assert not not_refused(done), f"enrol: {not_refused(done)}"
    e.make_room()
    e.mainstay(*enrol)
    e.desk("login")
    e.desk("accept", SITE)
    e.mainstay(*enrol)


def verbs(e, waiting):
    """[(what, argv, more)]: in this order each can be done once there is room; all have what they want before."""
    policy = e.path("policy.yaml")
    with open(policy, "w", encoding="utf-8") as f:
        f.write(POLICY.format(key=e.ssh_key(APPROVER)) + "notify: [alert]\n")
    key = ("--key", e.path(APPROVER))
    field = until("a field to review", lambda: e.mainstay_json("telemetry", "review")["items"])[0]["field"]
    return [
        ("on", ("on", "telemetry")),
        ("policy apply", ("policy", "apply", policy)),
        ("service set", ("service", "set", "tuned", "level=2")),
        ("service secret rotate", ("service", "secret", "rotate", "tuned", "word")),
        ("service stop", ("service", "stop", "tuned")),
        ("service start", ("service", "start", "tuned")),
        ("service restart", ("service", "restart", "tuned")),
        ("service accept", ("service", "accept", "tuned", "operation", "restart")),
        ("service install", ("service", "install", "guest")),
        ("alert mute", ("alert", "mute", "tuned", "--for", "1h", "--reason", "work")),
        ("telemetry accept", ("telemetry", "accept", field)),
        ("telemetry refuse", ("telemetry", "refuse", field)),
        ("telemetry pseudonyms", ("telemetry", "pseudonyms", "rotate")),
        ("requests approve", ("requests", "approve", waiting[0], *key)),
        ("requests deny", ("requests", "deny", waiting[1], "--reason", "no")),
        ("update hold", ("update", "hold", "tuned")),
        ("update unhold", ("update", "unhold", "tuned")),
        ("update apply", ("update", "apply")),
        ("update rollback", ("update", "rollback", "tuned")),
        ("audit erase", ("audit", "erase", "--from", "0", "--to", "0", "--reason", "asked for")),
        ("service remove", ("service", "remove", "tuned")),
        ("leave", ("leave",)),
    ]


def story(e):
    e.vendor()
    e.publish_service("guest", "1.0")
    e.publish_service("tuned", "1.0")
    e.mount("192m")
    e.start_site()
    enrolment(e)
    e.policy(POLICY)
    e.mainstay("on", "all")
    e.mainstay("service", "install", "tuned")
    until("tuned passing", lambda: e.service("tuned")["health"] == "passing")
    e.publish_service("tuned", "2.0")
    e.mainstay("update", "check")
    until("a plan", lambda: e.mainstay("update", "apply", code=None).returncode == 0)
    e.publish_service("tuned", "3.0")
    e.mainstay("update", "check")
    until("a plan", lambda: "3.0" in e.mainstay("update", "plan", code=None).stdout)
    waiting = [e.ask(), e.ask()]
    todo = verbs(e, waiting)
    e.mainstay("off", "telemetry")
    e.spend_the_reserve()
    e.mainstay("update", "unhold", code=None)
    was, pid, wrong = e.kept(), e.shim("tuned")["pid"], []
    for what, argv in todo:
        e.fill()
        with e.kept_full():
            told = not_refused(e.mainstay(*argv, code=None))
        now = e.kept()
        if told:
            wrong.append(f"{what}: {told}")
        if now != was:
            wrong.append(f"{what}: {sorted(k for k in was.keys() | now.keys() if was.get(k) != now.get(k))} changed")
        if e.shim("tuned")["pid"] != pid:
            wrong.append(f"{what}: the service was started again")
        was, pid = now, e.shim("tuned")["pid"]
    e.make_room()
    for what, argv in todo:
        done = e.mainstay(*argv, code=None)
        if done.returncode:
            wrong.append(f"{what}, with room again: exit {done.returncode}: {done.stderr[-300:]}")
    assert not wrong, "\n".join(wrong)
    assert e.mainstay("audit", "verify").returncode == 0
    left = [p for p in e.kept() if "/.tmp." in p]
    assert not left, f"left over: {left}"
    return f"{len(todo) + 1} verbs refused, and done with room again"
