"""The estate of the story: a vendor, a desk, two sites; each what an administrator made of its packages."""

import concurrent.futures
import json
import os
import random
import subprocess
import time

from hosts import PACKAGES, ROOT, Host, Observed, tool, until

CUSTOMER, ENGINEER, APPROVER = "acme", "vera", "olga"
HUB = "/var/lib/mainstay-hub"
POLICY = """v: 1
approvers:
  - name: olga
    key: "{key}"
rules:
  - {{services: [redis], operations: [info, ping, last-save], risk: [observe], decision: allow}}
  - {{services: ["*"], risk: [change], decision: ask}}
"""


def side_by_side(*calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(call) for call in calls]]


class Vendor(Host):
    """Hub and release host; the keys lie where they should not, on one host."""

    def __init__(self):
        super().__init__("vendor")

    def release(self, *argv, **kw):
        return self.out("mainstay-release", "--passphrase-file", "/root/passphrase", *argv, **kw)

    def hubd(self, verb, *argv, **kw):
        return self.out("runuser", "-u", "mainstay-hub", "--", "mainstay-hubd", verb, "--state", HUB, *argv, **kw)

    def make(self):
        """Keys 2 of 3, people, a repository, a hub, a card."""
        self.write("/root/passphrase", "what a person would type, at each key of the ceremony\n", 0o600)
        self.release("keys", "new", "--dir", "/root/keys", "--cost", "10")  # opened quickly: a test's
        self.release("init", "/srv/repo", "--root-keys", "2of3", "--keys", "/root/keys")
        self.hubd("init", "--name", "example-vendor", "--listen", f"{self.address}:443", "--repo", "/srv/repo",
                  "--facts", f"{HUB}/facts.json")
        self.release("card", "/srv/repo", "--keys", "/root/keys", "--hub", f"{HUB}/facts.json", "-o", "/root/vendor.card")
        self.run("systemctl", "start", "mainstay-hubd")

    def engineer(self, public):
        self.write("/root/engineer.pub", public)
        self.release("people", "set", "/srv/repo", "--keys", "/root/keys", "--name", ENGINEER, "--key",
                     "/root/engineer.pub", "--roles", "support,enrol", "--customers", CUSTOMER)
        self.release("people", "sign", "/srv/repo", "--keys", "/root/keys")

    def publish(self, folder):
        built = f"/root/built-{os.path.basename(folder)}"
        self.release("build", folder, "-o", built)
        self.release("sign", built, "--key", "/root/keys/targets.key")
        return self.release("publish", built, "--to", "/srv/repo", "--keys", "/root/keys")

    def changed(self, service, version, changes):
        """A copy of a shipped service's folder with these changes, by file; published."""
        folder = f"/root/{service}-{version}"
        self.run("cp", "-r", f"/usr/share/mainstay/services/{service}", folder)
        for name, pairs in changes.items():
            text = self.read(f"{folder}/{name}")
            for old, new in pairs:
                if old not in text:
                    raise Observed(f"{service}/{name} has no {old!r} any more")
                text = text.replace(old, new, 1)
            self.write(f"{folder}/{name}", text)
        return self.publish(folder)

    def token(self, site):
        return self.hubd("token", "--customer", CUSTOMER, "--site", site, "--expires", "1h") + "\n"


class Desk(Host):
    def __init__(self):
        super().__init__("desk")

    def argv_of(self, *argv):
        return ["mainstay-desk", "--card", "/root/vendor.card", "--key", f"/root/{ENGINEER}", "--ca", "/root/ca.pem", *argv]

    def ask(self, *argv, **kw):
        return self.run(*self.argv_of(*argv), **kw)

    def look(self, *argv, **kw):
        return self.json(*self.argv_of(*argv), **kw)

    def alerts(self, site, name, state="firing"):
        return [a for a in self.look("alerts")["items"]
                if (a["site"], a["name"], a["state"]) == (site, name, state)]

    def request(self, site, service, operation, ticket):
        """Ask, and wait for the answer in the background."""
        return self.later(*self.argv_of("run", site, service, operation, "--reason", "the story asks", "--ticket", ticket,
                                        "--wait", "60s", "--json"))


class Site(Host):
    def __init__(self, host, name, seed):
        super().__init__(host)
        self.site, self.random, self.cuts, self.boots = name, random.Random(f"{seed} {name}"), 0, 0

    def mainstay(self, *argv, **kw):
        return self.run("mainstay", *argv, **kw)

    def look(self, *argv, **kw):
        return self.json("mainstay", *argv, **kw)

    def up(self):
        """The daemons, as the package left them: enabled and running."""
        until("mainstay answers", lambda: self.mainstay("status", code=None).returncode == 0)
        if self.out("systemctl", "is-enabled", "mainstay.target", code=None) != "enabled":
            raise Observed(f"{self.name}: mainstay.target is not enabled")

    def enrol_argv(self):
        return ["enrol", "--card", "/root/vendor.card", "--token-file", "/root/token", "--ca", "/root/ca.pem"]

    def shown(self):
        return self.mainstay(*self.enrol_argv(), "--show").stdout

    def key(self, name):
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", f"/root/{name}")
        return " ".join(self.read(f"/root/{name}.pub").split()[:2])

    def service(self, name):
        return next(s for s in self.look("status")["services"] if s["name"] == name)

    def passing(self, *names):
        for name in names:
            until(f"{name} of {self.site} passing", lambda n=name: self.service(n)["health"] == "passing")

    def leaves(self, **want):
        return [i for i in self.look("audit", "log")["items"] if all(i.get(k) == v for k, v in want.items())]

    def requests(self, **want):
        return [r for r in self.look("requests", "list")["items"] if all(r.get(k) == v for k, v in want.items())]

    def approve(self, request, **kw):
        return self.mainstay("requests", "approve", request["id"], "--key", f"/root/{APPROVER}", **kw)

    def running(self, service):
        return json.loads(self.read("/var/lib/mainstay/cluster.lock"))["services"][service]

    def redis(self, *words):
        """As Redis' own administrator, from this machine through its socket."""
        password = self.read("/var/lib/mainstay/services/redis/secrets/admin")
        sock = self.alive("/run/mainstay/services/redis/redis.sock")
        done = subprocess.run(["redis-cli", "-s", sock], input=f"AUTH admin {password}\n{' '.join(words)}\n",
                              capture_output=True, text=True, timeout=10)
        return done.stdout.splitlines()[-1]

    def sql_later(self, statement):
        """As PostgreSQL's user app, in the background."""
        return subprocess.Popen(
            ["psql", "-X", "-A", "-t", "-h", self.alive("/run/mainstay/services/postgresql"), "-U", "app", "-d", "app", "-c",
             statement], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            env={"PATH": os.environ["PATH"], "PGPASSWORD": self.read("/var/lib/mainstay/services/postgresql/secrets/app")})

    def sql(self, statement):
        done = self.sql_later(statement)
        out, errors = done.communicate(timeout=30)
        if done.returncode:
            raise Observed(f"psql: {errors}")
        return out.strip()

    def power_cut(self, story, what, at=None, after=0.3):
        """The power fails once at() is true, and up to that many seconds later; then what has to be so, always."""
        if at:
            until(what, at)
        time.sleep(self.random.uniform(0, after))
        size = self.look("audit", "head")["size"] if not at else 0
        self.cut()
        self.cuts += 1
        self.boot()
        until("mainstay answers", lambda: self.mainstay("status", code=None).returncode == 0)
        log = self.mainstay("audit", "verify").stdout.strip().splitlines()[-1]
        if self.look("audit", "head")["size"] < size:
            raise Observed(f"the log lost what it had before the power cut: {log}")
        story.see(f"power cut {self.cuts}, {what}: it boots, its log is whole: {log}")


def boot_all():
    env = {"ROOT_vendor": "vendor"}
    tool("up", *PACKAGES, env=env)
    tool("wait", *PACKAGES)


def install_packages(host, debs_dir):
    return host.out("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "install", "-y",
                    *host.give_package(debs_dir), timeout=180)


def debs():
    return os.path.join(os.path.abspath(os.environ.get("MAINSTAY_BUILD") or os.path.join(ROOT, "build")), "deb")
