"""A whole estate on loopback: a vendor with a hub, a site with Redis, an engineer's desk, the customer's approver.

Everything is done by the commands that people use; state is read by `--json` and from the files that interfaces.md
pins.  Logs of all daemons and commands go to build/log/e2e/NAME/, where `make refusals` reads them.
"""

import concurrent.futures
import fcntl
import glob
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

from passphrase import with_passphrase

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("MAINSTAY_BUILD") or os.path.join(ROOT, "build"))
BIN = os.path.join(BUILD, "bin")
READY_S = 60
SITE, CUSTOMER, ENGINEER, APPROVER = "site1", "acme", "vera", "olga"

POLICY = """v: 1
approvers:
  - name: olga
    key: "{key}"
rules:
  - services: [redis]
    operations: [info, ping]
    risk: [observe]
    decision: allow
  - services: ["*"]
    risk: [change]
    decision: ask
"""


def until(what, probe, timeout=40):
    """Ask again until probe() gives something true; an assertion of the probe counts as not yet."""
    end = time.monotonic() + timeout
    error = None
    while time.monotonic() < end:
        try:
            got = probe()
            if got:
                return got
        except (AssertionError, KeyError, IndexError, ValueError, OSError, StopIteration,
                subprocess.TimeoutExpired) as e:
            error = e
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {timeout} s ({error!r})")


def operations_of(service):
    """Those that a shipped service brings a program for; verbs are the monitor's."""
    with open(os.path.join(ROOT, "packaging", "services", service, "service.yaml")) as f:
        text = f.read().split("\noperations:\n")[1]
    found = re.findall(r"^  ([a-z][a-z0-9-]*):\n((?:   .*\n)*)", text, flags=re.M)
    return {name for name, members in found if "\n    verb: " not in members}


class Daemon:
    """A program in the background that says READY on a descriptor."""

    def __init__(self, log, *argv):
        read, write = os.pipe()
        self.argv = argv
        with open(log, "a") as out:
            self.proc = subprocess.Popen([os.path.join(BIN, argv[0]), *argv[1:], "--ready-fd", str(write)],
                                         stdout=out, stderr=out, stdin=subprocess.DEVNULL, pass_fds=[write],
                                         start_new_session=True)
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline().strip() if select.select([ready], [], [], READY_S)[0] else "nothing"
        assert line == "READY", open(log).read()[-3000:]

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(30)
            except subprocess.TimeoutExpired:
                self.proc.kill()
        return self.proc.wait()


class Estate:
    """Use as a context manager; begin() makes the vendor and enrols the site."""

    def __init__(self, name):
        self.name = name
        self.dir = tempfile.mkdtemp(prefix="mainstay-e2e.")
        os.chmod(self.dir, 0o711)
        self.logs = os.path.join(BUILD, "log", "e2e", name)
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        self.hub = self.site = None
        self.bin = BIN
        self.settings = "telemetry:\n  period: 1s\n"  # mainstay.yaml, whenever the site starts

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.run("mainstay", "--state", self.path("site"), "run", "--down", code=None)
            for daemon in (self.site, self.hub):
                if daemon:
                    daemon.stop()
            end = time.monotonic() + 10
            while self.processes() and time.monotonic() < end:
                time.sleep(0.1)
            left = self.processes()
            for pid, _ in left:
                os.kill(pid, signal.SIGKILL)
            assert not left, f"left behind: {left}"
            self.assert_sane()
        finally:
            if not os.environ.get("KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)

    def assert_sane(self):
        """No sanitiser of a daemon complained."""
        for log in glob.glob(os.path.join(self.logs, "*.log")):
            with open(log, errors="replace") as f:
                bad = [line for line in f if "Sanitizer" in line or "runtime error:" in line]
            assert not bad, f"{log}: {bad[:3]}"

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    # --- commands --------------------------------------------------------------------------------------------

    def run(self, *argv, code=0, stdin=None, timeout=120):
        """Run a command; assert its exit code (None: any).  What it says on stderr goes to the log, too."""
        argv = [str(a) for a in argv]
        if argv[0] == "mainstay-release":
            argv = [argv[0], *with_passphrase(argv[1:])]
        program = os.path.join(BIN, argv[0]) if argv[0].startswith("mainstay") else argv[0]
        done = subprocess.run([program, *argv[1:]], input=stdin, capture_output=True, text=True, timeout=timeout,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.dir, "LC_ALL": "C.UTF-8",
                                   "MAINSTAY_DEBUG": "1", "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")})
        with open(os.path.join(self.logs, "commands.log"), "a") as log:
            log.write(f"$ {' '.join(argv)}\n{done.stderr}")
        assert code is None or done.returncode == code, \
            f"{' '.join(argv)}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
        return done

    def mainstay(self, *argv, **kw):
        return self.run("mainstay", "--state", self.path("site"), *argv, **kw)

    def mainstay_json(self, *argv, **kw):
        return json.loads(self.mainstay(*argv, "--json", **kw).stdout)

    def desk_argv(self, *argv, key=None):
        return ["mainstay-desk", "--state", self.path("desk"), "--card", self.path("vendor.card"), "--key",
                self.path(key or ENGINEER), "--ca", self.path("hub", "ca.pem"), *argv]

    def desk(self, *argv, key=None, **kw):
        return self.run(*self.desk_argv(*argv, key=key), **kw)

    def desk_json(self, *argv, **kw):
        return json.loads(self.desk(*argv, "--json", **kw).stdout)

    def desk_later(self, *argv):
        """A desk command in the background."""
        return subprocess.Popen([os.path.join(BIN, "mainstay-desk"), *self.desk_argv(*argv, "--json")[1:]],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def desk_all(self, service, *asks, code=0):
        """Operations on a service side by side, for an engineer may have eight on their way: each [name, argument...];
        what each desk says, in their order: its JSON, or where it is to fail, stderr."""
        def one(ask):
            done = self.desk("run", SITE, service, *ask, "--reason", "look", "--ticket", "T-1", "--wait", "60s", "--json",
                             code=code)
            return json.loads(done.stdout) if code == 0 else done.stderr

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            return list(pool.map(one, asks))

    def ssh_key(self, name):
        if not os.path.exists(self.path(name)):
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.path(name))
        with open(self.path(f"{name}.pub")) as f:
            return " ".join(f.read().split()[:2])

    # --- building up -----------------------------------------------------------------------------------------

    def vendor(self, service=None):
        """Keys, people, hub, card, a published release of Redis or of that folder; the hub runs."""
        keys, repo = self.path("keys"), self.path("repo")
        if service:
            self.make_vendor(service)
        else:
            self.take_vendor()
        self.run("mainstay-hubd", "init", "--state", self.path("hub"), "--name", "e2e-vendor", "--listen",
                 "127.0.0.1:0", "--repo", repo, "--facts", self.path("facts.json"))
        self.run("mainstay-release", "card", repo, "--keys", keys, "--hub", self.path("facts.json"), "-o",
                 self.path("vendor.card"))
        self.start_hub()

    def make_vendor(self, service):
        keys, repo = self.path("keys"), self.path("repo")
        self.run("mainstay-release", "keys", "new", "--dir", keys)
        self.run("mainstay-release", "init", repo, "--root-keys", "2of3", "--keys", keys)
        self.engineer(ENGINEER, "support,enrol")
        self.publish(service)

    def take_vendor(self):
        """The vendor of Redis that one estate of this run of tests makes, and all others copy."""
        shared = os.path.join(os.environ["MAINSTAY_E2E_SHARED"], "vendor")
        names = ("keys", "repo", ENGINEER, ENGINEER + ".pub")
        with open(shared + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(shared):
                self.make_vendor(os.path.join(ROOT, "packaging", "services", "redis"))
                os.mkdir(shared + ".new", 0o700)
                subprocess.run(["cp", "-a", *map(self.path, names), shared + ".new"], check=True)
                os.rename(shared + ".new", shared)
                return
        subprocess.run(["cp", "-a", *(os.path.join(shared, n) for n in names), self.dir], check=True)

    def engineer(self, name, roles, customers=CUSTOMER):
        self.ssh_key(name)
        self.run("mainstay-release", "people", "set", self.path("repo"), "--keys", self.path("keys"), "--name", name,
                 "--key", self.path(f"{name}.pub"), "--roles", roles, "--customers", customers)
        self.run("mainstay-release", "people", "sign", self.path("repo"), "--keys", self.path("keys"))

    def hasty(self, folder):
        """A copy of a service's folder that is watched for half a second after a start, where it is for longer."""
        copy = os.path.join(tempfile.mkdtemp(prefix="service.", dir=self.dir), os.path.basename(folder))
        shutil.copytree(folder, copy)
        file = os.path.join(copy, "service.yaml")
        with open(file) as f:
            text = f.read()
        with open(file, "w") as f:
            f.write(re.sub(r"^  soak: .*$", "  soak: 500ms", text, flags=re.M))
        return copy

    def publish(self, folder):
        folder = self.hasty(folder)
        # A former build's folder: what did not change is not compressed again.
        built = self.path(f"built.{os.path.basename(folder)}")
        self.run("mainstay-release", "build", folder, "-o", built)
        self.run("mainstay-release", "sign", built, "--key", self.path("keys", "targets.key"))
        self.run("mainstay-release", "publish", built, "--to", self.path("repo"), "--keys", self.path("keys"))

    def start_hub(self):
        self.hub = Daemon(os.path.join(self.logs, "hub.log"), "mainstay-hubd", "run", "--state", self.path("hub"))

    def start_site(self):
        os.makedirs(self.path("site", "etc"), exist_ok=True)
        with open(self.path("site", "etc", "mainstay.yaml"), "w") as f:
            f.write(self.settings)
        self.site = Daemon(os.path.join(self.logs, "site.log"), "mainstay", "run", "--state", self.path("site"))

    def enrol_args(self):
        return ["enrol", "--card", self.path("vendor.card"), "--token-file", self.path("token"), "--ca",
                self.path("hub", "ca.pem")]

    def token(self, site=SITE, expires="1h", file="token"):
        text = self.run("mainstay-hubd", "token", "--state", self.path("hub"), "--customer", CUSTOMER, "--site",
                        site, "--expires", expires).stdout
        with open(self.path(file), "w") as f:
            f.write(text)
        os.chmod(self.path(file), 0o600)

    def enrol(self):
        self.token()
        shown = self.mainstay(*self.enrol_args(), "--show").stdout
        self.fingerprint = next(w for w in shown.split() if w.startswith("sha256:"))
        self.mainstay(*self.enrol_args(), "--accept", self.fingerprint)
        self.desk("login")
        self.desk("accept", SITE)
        self.mainstay(*self.enrol_args(), "--accept", self.fingerprint)

    def policy(self, text=POLICY):
        file = self.path("site", "etc", "policy.yaml")
        with open(file, "w") as f:
            f.write(text.format(key=self.ssh_key(APPROVER)))
        os.chmod(file, 0o644)
        self.mainstay("policy", "apply", file)

    def begin(self):
        self.vendor()
        self.start_site()
        self.enrol()
        self.policy()

    def install_redis(self):
        self.mainstay("on", "all")
        self.mainstay("service", "install", "redis")
        until("Redis passing", lambda: self.service("redis")["health"] == "passing")

    # --- looking ---------------------------------------------------------------------------------------------

    def status(self):
        return self.mainstay_json("status")

    def service(self, name):
        return next(s for s in self.status()["services"] if s["name"] == name)

    def leaves(self, **want):
        return [i for i in self.mainstay_json("audit", "log")["items"]
                if all(i.get(k) == v for k, v in want.items())]

    def redis(self, *argv, timeout=5):
        """A command as Redis' user admin."""
        sock = self.path("site", "run", "services", "redis", "redis.sock")
        with open(self.path("site", "lib", "services", "redis", "secrets", "admin")) as f:
            login = f"AUTH admin {f.read()}"
        command = " ".join(shlex.quote(str(a)) for a in argv)
        done = self.run("redis-cli", "-s", sock, stdin=f"{login}\n{command}\n", timeout=timeout).stdout
        assert done.startswith("OK\n"), done
        return done[3:].strip()

    def shim(self, name="redis"):
        with open(self.path("site", "run", "shim", f"{name}.json")) as f:
            return json.load(f)

    def requests(self, **want):
        return [r for r in self.mainstay_json("requests", "list")["items"]
                if all(r.get(k) == v for k, v in want.items())]

    def approve(self, request, key=APPROVER, **kw):
        return self.mainstay("requests", "approve", request, "--key", self.path(key), **kw)

    def processes(self):
        """Every process whose command line names the estate's folder: [(pid, words)]."""
        found = []
        for p in glob.glob("/proc/[0-9]*"):
            try:
                with open(f"{p}/cmdline", "rb") as f:
                    words = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
                with open(f"{p}/stat") as f:
                    if f.read().rsplit(")", 1)[1].split()[0] in "ZX":
                        continue
            except OSError:
                continue
            if self.dir in words and int(os.path.basename(p)) != os.getpid():
                found.append((int(os.path.basename(p)), words))
        return found

    def pids(self, program):
        """The processes of one program of this estate."""
        return [pid for pid, words in self.processes() if os.path.basename(words.split()[0]) == program]
