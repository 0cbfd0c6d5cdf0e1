"""What engineers ask for on an estate whose service counts its own runs, and what people do meanwhile (evidence.py: what must hold)."""

import json
import os
import subprocess
import tempfile

from estate import APPROVER, SITE, until
from evidence import OVER, requests

# operation: its leaves, in their order
FLOWS_OF = {
    "add": ("request", "start", "end"),
    "long": ("request", "start", "end"),
    "careful": ("request", "permit", "start", "end"),
    "restart": ("request", "permit", "start", "end"),
    "slow": ("request", "permit", "start", "cancel", "end"),
    "plan": ("request", "end"),
}
SERVICE = """name: counted
version: "1.0"
payload: {programs: [/bin/dash, /bin/sleep]}
exec: [/usr/bin/dash, -c, "echo start >>/data/starts; exec /usr/bin/sleep 1000000"]
stop: {grace: 200ms}
health: {type: exec, argv: [/usr/bin/sleep, "0"], period: 200ms, timeout: 1s, failures: 1, within: 20s, soak: 100ms}
operations:
  add:
    argv: [/usr/bin/dash, -c, 'echo "begin $1" >>/data/runs; echo a; sleep 0.1; echo b; echo "end $1" >>/data/runs', add, "{tag}"]
    args: {tag: {type: text, pattern: "[a-z0-9-]+", help: whose run it is}}
    risk: change
    timeout: 10s
  long:
    argv:
      - /usr/bin/dash
      - -c
      - 'echo "begin $1" >>/data/runs; i=0; while [ $i -lt 2500 ]; do echo "$i 0123456789abcdefghij"; i=$((i+1));
         [ $((i%500)) -ne 0 ] || sleep 0.05; done; echo "end $1" >>/data/runs'
      - long
      - "{tag}"
    args: {tag: {type: text, pattern: "[a-z0-9-]+", help: whose run it is}}
    risk: change
    timeout: 10s
    output: 128kb
  careful:
    argv: [/usr/bin/dash, -c, 'echo "begin $1" >>/data/runs; echo a; echo "end $1" >>/data/runs', careful, "{tag}"]
    dry_run: [/usr/bin/dash, -c, "echo runs"]
    args: {tag: {type: text, pattern: "[a-z0-9-]+", help: whose run it is}}
    risk: change
    timeout: 10s
  slow:
    argv: [/usr/bin/dash, -c, 'echo "begin $1" >>/data/runs; echo a; sleep 8; echo "end $1" >>/data/runs', slow, "{tag}"]
    args: {tag: {type: text, pattern: "[a-z0-9-]+", help: whose run it is}}
    risk: change
    timeout: 20s
  restart: {verb: restart, risk: change}
"""
POLICY = """v: 1
approvers:
  - {{name: olga, key: "{key}"}}
rules:
  - {{services: [counted], operations: [add, long], decision: allow}}
  - {{services: [counted], operations: [careful, slow, restart], decision: ask}}
"""


class Counting:
    """An estate with service counted, and what its hub knows of requests."""

    def __init__(self, estate):
        self.e, self.site = estate, estate.path("site")

    def begin(self, services=(), policy=""):
        """The vendor with these services besides ([(name, folder)]), hub, site, policy; all switches are on but telemetry's."""
        e = self.e
        os.mkdir(e.path("counted"))
        with open(e.path("counted", "service.yaml"), "w", encoding="utf-8") as f:
            f.write(SERVICE)
        e.vendor(e.path("counted"))
        for _, folder in services:
            e.publish(folder)
        services = [("counted", e.path("counted")), *services]
        e.start_site()
        e.enrol()
        e.policy(policy + POLICY)
        e.mainstay("on", "remote")
        e.mainstay("on", "updates")
        for name, _ in services:
            e.mainstay("service", "install", name)
            until(f"{name} passing", lambda name=name: self.healthy(name))

    def healthy(self, name="counted"):
        return self.e.service(name)["health"] == "passing"

    def asked(self):
        """The ids that the hub knows."""
        return {r["id"] for r in self.e.desk_json("requests")["items"]}

    def answer(self, request):
        """The outcome that the site signed, as the desk verifies it; None: there is none yet."""
        done = self.e.desk("requests", request, "--json", code=None, timeout=60)
        said = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        return said.get("outcome")


class Asking:
    """One request, from the desk to its end: the engineer, who may take it back, and the person who approves it."""

    def __init__(self, estate, operation, tag, wait_s):
        self.e, self.site, self.operation, self.tag, self.wait_s = estate, estate.path("site"), operation, tag, wait_s
        self.desk = self.approval = self.cancel = self.request = None

    def start(self, program, *argv, under=()):
        """What it says goes to a file, said().  under: the words before it, a tracer's."""
        out = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed with the process)
        process = subprocess.Popen([*under, os.path.join(self.e.bin, program), *argv], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        process.out = out
        return process

    @staticmethod
    def said(process):
        process.wait()
        process.out.seek(0)
        with process.out as out:
            return out.read()

    def ask(self, under=()):
        words = ["careful" if self.operation == "plan" else self.operation]
        if self.operation != "restart":
            words.append(f"tag={self.tag}")
        plan = ["--plan"] if self.operation == "plan" else []
        self.desk = self.start("mainstay-desk", *self.e.desk_argv("run", SITE, "counted", *words, "--reason", "a flow", "--ticket",
                                                                  self.tag, "--wait", f"{self.wait_s}s", "--json", *plan)[1:], under=under)

    def outcome_told(self, said):
        """What the desk that waited read; None where it read nothing."""
        return next((json.loads(line).get("outcome") for line in said.splitlines() if line.startswith('{"') and line.endswith("}")), None)

    def look(self):
        try:
            self.request = requests(self.site).get(self.tag, self.request)
        except ValueError:
            pass  # removed while it was read

    def help(self):
        """What people do meanwhile: the approver, and the engineer who takes it back."""
        r = self.request
        if r is None:
            return
        if r.state == "waiting" and (self.approval is None or self.approval.poll() is not None):
            self.approval = self.start("mainstay", "--state", self.site, "requests", "approve", r.id, "--key", self.e.path(APPROVER))
        if self.operation == "slow" and r.state == "running" and (self.cancel is None or self.cancel.poll()):
            self.cancel = self.start("mainstay-desk", *self.e.desk_argv("cancel", r.id, "--reason", "a flow", "--wait", "0")[1:])

    def is_over(self):
        """On the site; people go on helping until it is."""
        self.look()
        self.help()
        return self.request is not None and self.request.state in OVER and self.request.settled

    def end(self):
        """Nobody waits any more."""
        for person in (self.approval, self.cancel):
            if person:
                person.kill()
                self.said(person)
