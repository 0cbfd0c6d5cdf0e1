"""Services outlive every process of ours: each is killed in turn while a client asks Redis without a pause.

The daemons are played by build/tests/unit/appliance/supervise/play; supervise, shims, sandbox and Redis are real.
"""

import json
import os
import re
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from pinger import Pinger

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("MAINSTAY_BUILD", os.path.join(ROOT, "build"))
PLAY = os.path.join(BUILD, "tests/unit/appliance/supervise/play")
SUPERVISE = os.path.join(BUILD, "bin/mainstay-supervise")
REDIS = "/usr/bin/redis-server"

pytestmark = pytest.mark.skipif(not (os.path.exists(PLAY) and os.path.exists(SUPERVISE) and os.path.exists(REDIS)),
                                reason="needs the built programs and redis-server")


def wait_for(what, seconds=20, text="it"):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            got = what()
        except (OSError, ValueError, KeyError):
            got = None
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError(f"{text} did not come in {seconds} s")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Site:
    """`mainstay run` on a state folder of its own, as root or as an ordinary user."""

    def __init__(self, closed=False, uid=None, real=False):
        self.top = tempfile.mkdtemp(prefix="mainstay-", dir="/tmp")
        os.chmod(self.top, 0o700 if closed else 0o755)
        self.bin, self.dir, self.uid = f"{self.top}/bin", f"{self.top}/state", uid
        os.mkdir(self.dir)
        self.process = None
        if real:  # the daemons themselves; without a monitor that plays, services cannot be asked for
            self.bin = f"{BUILD}/bin"
            return
        os.mkdir(self.bin)
        for name in ("mainstay", "mainstayd", "mainstay-collectd", "mainstay-courier"):
            shutil.copy(PLAY, f"{self.bin}/{name}")
        shutil.copy(SUPERVISE, self.bin)
        os.mkdir(f"{self.dir}/play")
        if uid:
            for folder in (self.top, self.bin, self.dir, f"{self.dir}/play"):
                os.chown(folder, uid, uid)

    def command(self, *args):
        return [f"{self.bin}/mainstay", *args, "--state", self.dir]

    def run(self, *args):
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=150,
                              user=self.uid, group=self.uid)

    def up(self):
        r, w = os.pipe()
        with open(f"{self.top}/err", "a") as err, open(f"{self.top}/out", "a") as out:
            self.process = subprocess.Popen(self.command("run", "--ready-fd", str(w)), pass_fds=[w], stdout=out,
                                            stderr=err, user=self.uid, group=self.uid)
        os.close(w)
        with os.fdopen(r) as f:
            assert f.readline() == "READY\n", self.log()

    def log(self):
        with open(f"{self.top}/err") as f:
            return f.read()

    def roster(self):
        with open(f"{self.dir}/run/supervise/roster") as f:
            rows = [line.split() for line in f.read().splitlines()[1:]]
        return {(r[0] if r[1] == "-" else f"{r[0]} {r[1]}"): int(r[2]) for r in rows}

    def state(self, name):
        with open(f"{self.dir}/run/shim/{name}.json") as f:
            return json.load(f)

    def enforced(self):
        with open(f"{self.dir}/run/supervise/enforced") as f:
            return json.load(f)

    def seen(self):
        """The state folder as the daemons name it."""
        with open(f"/proc/{self.roster()['monitor']}/cmdline") as f:
            return f.read().split("\0")[2]

    def inside(self, root):
        """lib or run of the state folder, as its own programs name it."""
        return f"{self.seen()}/{root}"

    def ids(self):
        return {line.split()[0]: int(line.split()[1]) for line in open(f"{self.dir}/run/supervise/ids")}

    def user(self, name):
        """The uid of a service, allotted as the monitor would."""
        ids = self.ids()
        if not ids["separate"]:
            return ids["service"]
        path = f"{self.dir}/lib/services/.ids"
        known = json.load(open(path)) if os.path.exists(path) else {}
        if name not in known:
            known[name] = ids["services"] + len(known)
            with open(path, "w") as f:
                json.dump(known, f)
        return known[name]

    def folders(self, name):
        uid = self.user(name)
        for folder in ("lib/services/%s/data", "lib/services/%s/conf", "lib/services/%s/log", "run/services/%s"):
            path = os.path.join(self.dir, folder % name)
            os.makedirs(path, exist_ok=True)
            os.chown(path, uid, uid)
            os.chmod(os.path.dirname(path), 0o755)

    def spec(self, name, argv, **more):
        self.folders(name)
        own = f"{self.inside('lib')}/services/{name}"
        spec = {"v": 1, "name": name, "release": "", "tree": "/", "data": f"{own}/data", "conf": f"{own}/conf",
                "log": f"{own}/log", "run": f"{self.inside('run')}/services/{name}", "argv": argv, "env": [], "probe": [],
                "expect": "",
                "heal": "exit", "health": "none", "socket": "", "health_interval_ms": 300,
                "health_timeout_ms": 500, "health_failures": 2, "start_timeout_ms": 20000, "grace_ms": 5000,
                "nofile": 0, "log_bytes": 0, "network": True} | more
        with open(f"{self.dir}/play/{name}.json", "w") as f:
            json.dump(spec, f)

    def program(self, name, text):
        self.folders(name)
        with open(f"{self.dir}/lib/services/{name}/conf/program", "w") as f:
            f.write(text)

    def ask(self, name, what, results=("ok",)):
        done = f"{self.dir}/play/{name}.done"
        if os.path.exists(done):
            os.unlink(done)
        with open(f"{self.dir}/play/{name}.{what}", "w"):
            pass
        assert wait_for(lambda: open(done).read(), 40, f"{what} {name}").strip() in results, self.log()

    def redis(self, **more):
        self.folders("redis")
        with open(f"{self.dir}/lib/services/redis/conf/redis.conf", "w") as f:
            f.write("port 0\nunixsocket /run/service/redis.sock\nunixsocketperm 777\ndir /data\nsave \"\"\n")
        self.spec("redis", [REDIS, "/conf/redis.conf"], health="resp", socket="redis.sock", **more)
        self.ask("redis", "start")
        return f"{self.dir}/run/services/redis/redis.sock"

    def kill(self, role, sig=signal.SIGKILL):
        """Kill the holder of a role; returns once another holds it, alive."""
        old = self.roster()[role]
        os.kill(old, sig)
        wait_for(lambda: self.roster().get(role, 0) not in (0, old) and alive(self.roster()[role]), 30, role)

    def end(self):
        try:
            if self.process and self.process.poll() is None:
                self.run("run", "--down")
                self.process.wait(60)
            self.run("run", "--down")
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
            shutil.rmtree(self.top)


@pytest.fixture
def site():
    s = Site()
    yield s
    s.end()


def test_redis_outlives_each_process(site):
    site.up()
    path = site.redis()
    pid = site.state("redis")["pid"]
    pings = Pinger(path, timeout_s=5)
    pings.start()
    for role in ("monitor", "collectd", "courier", "shim redis", "supervise", "shim redis", "supervise", "monitor"):
        site.kill(role)
        time.sleep(0.3)
    # `mainstay run` itself: the next one finds everything.
    site.process.kill()
    site.process.wait()
    time.sleep(0.5)
    site.up()
    wait_for(lambda: alive(site.roster()["shim redis"]))
    # SIGTERM ends the daemons, the service stays; the next run adopts it.
    daemons = [site.roster()[r] for r in ("monitor", "collectd", "courier", "supervise")]
    site.process.terminate()
    assert site.process.wait(30) == 0
    assert not any(alive(p) for p in daemons)
    time.sleep(0.5)
    site.up()
    time.sleep(0.5)
    pings.on = False
    pings.join()
    assert pings.failed == [] and pings.ok > 50, site.log()
    state = site.state("redis")
    assert (state["pid"], state["state"], state["health"], state["restarts"]) == (pid, "running", "passing", 0)
    assert site.run("run", "--down").returncode == 0
    assert site.process.wait(30) == 0
    assert not alive(pid)
    assert site.state("redis")["state"] == "stopped"


def test_what_runs_and_is_not_known_any_more_is_not_started_again(site):
    site.up()
    path = site.redis()
    pid = site.state("redis")["pid"]
    ours = site.roster()
    site.process.kill()
    site.process.wait()
    for one in (ours.pop("supervise"), *ours.values()):
        if alive(one):
            os.kill(one, signal.SIGKILL)
        wait_for(lambda: not alive(one))
    shutil.rmtree(f"{site.dir}/run")
    site.up()
    site.folders("redis")
    site.ask("redis", "start", ("state-moved",))
    wait_for(lambda: site.state("redis")["state"] == "failed")
    assert f"it runs already, as pid {pid}," in site.state("redis")["why"], site.state("redis")
    wait_for(lambda: "shim redis" not in site.roster())
    assert alive(pid) and not os.path.exists(path)
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not alive(pid))
    site.ask("redis", "start")
    assert site.state("redis")["health"] == "passing" and os.path.exists(path)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_a_supervisor_killed_while_a_shim_leaves_does_not_keep_it(site):
    """The service could be neither started, for it had a shim, nor was there anything to start that from."""
    site.up()
    site.redis()
    with tempfile.TemporaryFile("w+") as said:
        tracer = subprocess.Popen(["strace", "-p", str(site.roster()["supervise"]), "-P", f"{site.dir}/run/supervise", "-e",
                                   "trace=renameat", "-e", "inject=renameat:signal=KILL:when=1"], stderr=said)
        wait_for(lambda: said.seek(0) or "attached" in said.read(), text="strace")
        site.ask("redis", "restart")
        assert tracer.wait(20) is not None and "killed by SIGKILL" in (said.seek(0), said.read())[1]
    assert site.state("redis")["health"] == "passing" and alive(site.roster()["shim redis"])


def ours(site, shims):
    """The shims of this state, or its supervisors."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                args = f.read().split("\0")
        except OSError:
            continue
        if args[0] == "mainstay-supervise" and site.seen() in args and any(a.startswith("--shim") for a in args) == shims:
            found.append(int(pid))
    return [pid for pid in found if alive(pid)]


def test_a_run_killed_while_its_supervisor_begins_leaves_none(site):
    """The next one would not know of it: two of them kept the same daemons and services from then on."""
    site.up()
    site.process.terminate()
    site.process.wait(30)
    site.process = subprocess.Popen(site.command("run"), stderr=subprocess.DEVNULL)
    children = f"/proc/{site.process.pid}/task/{site.process.pid}/children"
    until = time.monotonic() + 20
    first = 0
    while not first and time.monotonic() < until:  # it has a few milliseconds to live
        for pid in open(children).read().split():
            if open(f"/proc/{pid}/cmdline").read().startswith("mainstay-supervise\0--state"):
                first = int(pid)
                os.kill(first, signal.SIGSTOP)
    site.process.kill()
    site.process.wait()
    site.up()
    os.kill(first, signal.SIGCONT) if alive(first) else None
    wait_for(lambda: not alive(first), text="the end of the first supervisor")
    assert ours(site, shims=False) == [site.roster()["supervise"]], site.log()


def test_what_an_operation_left_goes_with_a_worker_that_the_next_supervisor_does_not_find(site):
    site.up()
    if "cgroups" not in site.enforced()["enforced"]:
        pytest.skip("this host gives no control groups")
    lib = os.stat(f"{site.dir}/lib")
    tops = found_groups(f"*/mainstay.{lib.st_dev:x}-{lib.st_ino:x}").split()
    left = subprocess.Popen(["/bin/sleep", "1000"])
    try:
        for top in tops:
            os.mkdir(f"{top}/.op-7")
            with open(f"{top}/.op-7/cgroup.procs", "w") as f:
                f.write(str(left.pid))
        os.kill(site.process.pid, signal.SIGSTOP)
        os.kill(site.roster()["supervise"], signal.SIGKILL)
        wait_for(lambda: not alive(site.roster()["supervise"]))
        with open(f"{site.dir}/run/supervise/roster", "a") as f:
            f.write(f"operate 7 {site.roster()['supervise']} 1 1 0\n")
        old = site.roster()["supervise"]
        os.kill(site.process.pid, signal.SIGCONT)
        wait_for(lambda: site.roster()["supervise"] != old and alive(site.roster()["supervise"]))
        assert left.wait(20) == -signal.SIGKILL
        assert [top for top in tops if os.path.exists(f"{top}/.op-7")] == [], site.log()
    finally:
        left.kill()
        left.wait()


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_a_supervisor_killed_while_it_starts_a_shim_leaves_none_that_nobody_knows(site):
    site.up()
    with tempfile.TemporaryFile("w+") as said:
        tracer = subprocess.Popen(["strace", "-p", str(site.roster()["supervise"]), "-P", f"{site.dir}/run/supervise", "-e",
                                   "trace=renameat", "-e", "inject=renameat:signal=KILL:when=1"], stderr=said)
        wait_for(lambda: said.seek(0) or "attached" in said.read(), text="strace")
        site.spec("stays", ["/bin/sleep", "1000"], grace_ms=100)
        old = site.roster()["supervise"]
        site.ask("stays", "start", ("interrupted", "fault", "busy", "unreachable", "ok"))
        assert tracer.wait(20) is not None and "killed by SIGKILL" in (said.seek(0), said.read())[1]
    wait_for(lambda: site.roster()["supervise"] != old and alive(site.roster()["supervise"]))
    if "shim stays" not in site.roster():
        site.ask("stays", "start")
    assert ours(site, shims=True) == [site.roster()["shim stays"]], site.log()


def test_a_second_run_is_refused(site):
    site.up()
    second = site.run("run")
    assert second.returncode == 1 and "[conflict]" in second.stderr
    third = site.run("run", "--ready-fd", "77")
    assert third.returncode == 2 and "[usage]" in third.stderr


def test_a_killed_service_comes_back_and_a_stopped_one_stays_down(site):
    site.up()
    path = site.redis()
    os.kill(site.state("redis")["pid"], signal.SIGKILL)
    wait_for(lambda: site.state("redis")["restarts"] == 1 and site.state("redis")["health"] == "passing")
    assert site.state("redis")["exit"] == 137
    site.ask("redis", "restart")
    assert site.state("redis")["health"] == "passing"
    site.ask("redis", "stop")
    assert site.state("redis")["state"] == "stopped" and site.state("redis")["exit"] == 0
    assert "shim redis" not in site.roster()
    site.kill("supervise")
    time.sleep(0.5)
    assert not os.path.exists(path) or site.state("redis")["state"] == "stopped"
    assert "shim redis" not in site.roster()


def test_a_frozen_service_is_seen_and_healed_where_the_definition_says(site):
    site.up()
    site.redis(heal="exit")
    pid = site.state("redis")["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: (site.state("redis")["state"], site.state("redis")["health"]) == ("frozen", "failing"))
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: (site.state("redis")["state"], site.state("redis")["health"]) == ("running", "passing"))
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: site.state("redis")["state"] == "frozen")
    site.ask("redis", "stop")
    assert not alive(pid)
    site.redis(heal="health", grace_ms=500)
    pid = site.state("redis")["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: site.state("redis")["restarts"] == 1 and site.state("redis")["health"] == "passing")
    assert site.state("redis")["pid"] != pid


def test_what_crashes_at_once_is_given_up(site):
    site.up()
    site.spec("crash", ["/bin/sh", "-c", "echo bad luck; exit 3"])
    site.ask("crash", "start", ("ok", "state-moved"))  # it was running, for a moment
    wait_for(lambda: site.state("crash")["state"] == "failed", 30)
    assert site.state("crash")["exit"] == 3 and site.state("crash")["restarts"] == 5
    wait_for(lambda: "shim crash" not in site.roster())
    with open(f"{site.dir}/lib/services/crash/log/crash.log") as f:
        assert f.read().count("bad luck") == 6


def test_a_program_is_the_health_check(site):
    site.up()
    site.spec("probed", ["/bin/sh", "-c", "sleep 1; echo well >/run/service/how; exec sleep 1000"], health="exec",
              probe=["/bin/cat", "/run/service/how"], expect="well", health_timeout_ms=10000)
    site.ask("probed", "start")
    assert site.state("probed")["health"] == "passing"
    with open(f"{site.dir}/run/services/probed/how", "w") as f:
        f.write("ill\n")
    wait_for(lambda: site.state("probed")["health"] == "failing")
    assert site.state("probed")["state"] == "running"


def test_the_sandbox_shows_what_it_should(site):
    site.up()
    site.spec("look", ["/bin/sh", "-c", "id -u; echo $$; touch /usr/x /conf/x 2>&1; touch /data/x && echo data;"
                       " ls -m /; ls /proc/self/fd | wc -l; grep -E 'CapEff|NoNewPrivs' /proc/self/status;"
                       " env | sort; exec sleep 1000"])
    site.ask("look", "start")
    log = f"{site.dir}/lib/services/look/log/look.log"
    text = wait_for(lambda: "PWD" in open(log).read() and open(log).read())
    lines = text.splitlines()
    assert lines[0] == str(site.user("look")) and lines[1] == "1"
    assert text.count("Read-only file system") == 2 and "\ndata\n" in text
    assert "CapEff:\t0000000000000000" in text and "NoNewPrivs:\t1" in text
    assert "conf" in text and "home" in text and "MAINSTAY" not in text
    assert lines[[i for i, l in enumerate(lines) if "bin" in l and "," in l][-1] + 1] == "4"  # 0, 1, 2 and ls's own


INSIDE = r"""
import ctypes, os, pwd, resource, socket, time
libc = ctypes.CDLL(None, use_errno=True)
def say(what, call):
    try:
        got = call()
    except OSError as e:
        got = e
    if isinstance(got, int) and got < 0:
        got = OSError(ctypes.get_errno(), "")
    print(what, getattr(got, "errno", "done"), flush=True)
say("ptrace", lambda: libc.ptrace(16, 1, 0, 0))
say("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
say("unshare", lambda: libc.unshare(0x10000000))
say("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and 0)
say("packet", lambda: socket.socket(17, socket.SOCK_RAW, 0) and 0)
say("bpf", lambda: libc.syscall(321, 0, 0, 0))
say("userfaultfd", lambda: libc.syscall(323, 0))
say("keyctl", lambda: libc.syscall(250, 0, 0, 0))
say("other", lambda: os.listdir(os.environ["OTHER"]))
say("control", lambda: os.stat(os.environ["CONTROL"]))
say("kill", lambda: os.kill(int(os.environ["VICTIM"]), 9))
say("tree", lambda: open("/usr/x", "w"))
say("conf", lambda: open("/conf/x", "w"))
say("etc", lambda: open("/etc/passwd", "a"))
say("data", lambda: open("/data/x", "w"))
say("secret-write", lambda: open("/run/secrets/password", "w"))
print("user", pwd.getpwuid(os.getuid()).pw_name, os.getuid())
print("secret", open("/run/secrets/password").read().strip()[::-1], oct(os.stat("/run/secrets/password").st_mode))
print("nofile", resource.getrlimit(resource.RLIMIT_NOFILE)[0], "nice", os.nice(0), flush=True)
time.sleep(1000)
"""

REFUSED_INSIDE = {"ptrace": 1, "mount": 1, "unshare": 1, "raw": 1, "packet": 1, "bpf": 1, "userfaultfd": 1, "keyctl": 1,
                  "other": 2, "control": 2, "kill": 3, "tree": 30, "conf": 30, "etc": 13, "secret-write": 30}


def test_a_service_reaches_only_what_is_its_own(site):
    site.up()
    site.spec("victim", ["/bin/sleep", "1000"], grace_ms=300)
    site.ask("victim", "start")
    env = [f"OTHER={site.dir}/lib/services/victim/data", f"CONTROL={site.dir}/run/supervise.sock",
           f"VICTIM={site.state('victim')['pid']}"]
    site.program("prober", INSIDE)
    site.spec("prober", ["/usr/bin/python3", "/conf/program"], env=env, v=2, secrets=["password"], nofile=100, nice=3,
              grace_ms=300)
    site.ask("prober", "start")
    log = f"{site.dir}/lib/services/prober/log/prober.log"
    text = wait_for(lambda: "nofile" in open(log).read() and open(log).read())
    got = dict(line.split(" ", 1) for line in text.splitlines())
    assert {k: got[k] for k in REFUSED_INSIDE} == {k: str(v) for k, v in REFUSED_INSIDE.items()}, text
    assert got["data"] == "done" and got["user"] == f"prober {site.user('prober')}"
    assert got["secret"] == "drowssap-fo-yranac 0o100400" and got["nofile"] == f"100 nice {max(3, os.nice(0))}"
    if os.geteuid() == 0:
        assert site.user("prober") != site.user("victim")
    assert alive(site.state("victim")["pid"])
    # Its secret outlives the shim, and the supervisor with the shim's next, and is nowhere to be read.
    for role in ("shim prober", "supervise", "shim prober"):
        site.kill(role)
        time.sleep(0.3)
    os.kill(site.state("prober")["pid"], signal.SIGKILL)
    wait_for(lambda: open(log).read().count("drowssap-fo-yranac") == 2)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for what in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{what}", "rb") as f:
                    assert b"canary-of" not in f.read()
            except OSError:
                pass
    for top, _, files in os.walk(f"{site.dir}/run"):
        for name in filter(lambda n: os.path.isfile(os.path.join(top, n)), files):
            with open(os.path.join(top, name), "rb") as f:
                assert b"canary-of" not in f.read()


def test_limits_hold_and_say_so(site):
    site.up()
    if "cgroups" not in site.enforced()["enforced"]:
        pytest.skip("this host gives no control groups")
    site.spec("eater", ["/usr/bin/perl", "-e", "while (1) { push @x, 'x' x (1 << 20) }"], v=2, memory=64 << 20,
              processes=20, heal="never")
    site.ask("eater", "start", ("ok", "state-moved"))
    wait_for(lambda: site.state("eater")["state"] == "failed")
    assert site.state("eater")["exit"] == 137 and "limit of memory" in site.state("eater")["why"]
    site.spec("forker", ["/bin/sh", "-c", "while sleep 1000 & do :; done"], v=2, processes=20, heal="never")
    site.ask("forker", "start", ("ok", "state-moved"))
    wait_for(lambda: site.state("forker")["state"] == "failed")
    assert "Cannot fork" in site.state("forker")["why"]
    wait_for(lambda: "shim forker" not in site.roster())
    assert found_groups("*/mainstay.*/forker") == ""


def found_groups(path):
    return subprocess.run(["find", "/sys/fs/cgroup", "-path", path], capture_output=True, text=True).stdout


def test_no_group_is_left_when_all_is_down(site):
    site.up()
    if "cgroups" not in site.enforced()["enforced"]:
        pytest.skip("this host gives no control groups")
    site.spec("stays", ["/bin/sleep", "1000"], v=2, memory=64 << 20, grace_ms=100)
    site.ask("stays", "start")
    with open(f"/proc/{site.state('stays')['pid']}/cgroup") as f:
        ours = re.search(r"(mainstay\.[^/]+)/stays$", f.read(), re.M)[1]
    assert found_groups(f"*/{ours}")
    site.run("run", "--down")
    site.process.wait(60)
    assert found_groups(f"*/{ours}*") == "", "nothing is left of what was made for this state"


def test_a_shim_that_is_asked_looks_at_once(site):
    """Its own period is an hour: what the file says then is of the two probes that were asked for."""
    site.up()
    site.spec("asked", ["/bin/sh", "-c", "echo well >/run/service/how; exec sleep 1000"], health="exec",
              probe=["/bin/cat", "/run/service/how"], expect="well", health_timeout_ms=3000, health_interval_ms=3600000,
              grace_ms=100)
    site.ask("asked", "start")
    how = f"{site.dir}/run/services/asked/how"
    assert site.state("asked")["looked"] == 0
    os.mkfifo(f"{how}.pipe", 0o644)
    os.rename(f"{how}.pipe", how)
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    os.kill(site.roster()["shim asked"], signal.SIGURG)
    poured = 0
    while poured < 3:
        try:
            with open(how, "w") as f:  # once somebody reads, who may be the last one on its way out
                f.write("ill\n")
            poured += 1
        except BrokenPipeError:
            pass
    # What fails then is no failure of the period's: it is neither failing, nor seen to do well.
    state = site.state("asked")
    assert (state["health"], state["looked"]) == ("passing", 0)
    with open(f"{how}.file", "w") as f:
        f.write("well\n")
    os.rename(f"{how}.file", how)
    wait_for(lambda: site.state("asked")["looked"] > now)
    assert site.state("asked")["restarts"] == 0


def test_it_is_prepared_once_and_reloads(site):
    site.up()
    run = "trap 'echo reloaded' HUP; trap 'echo interrupted; exit 0' INT; cat /data/made; while :; do sleep 0.1; done"
    more = dict(v=2, creates="made", stop="INT", reload_signal="HUP",
                prepare=["/bin/sh", "-c", "test -e /data/once || { touch /data/once; echo no luck; exit 1; };"
                         " rmdir /data/.prepare.made; echo well >/data/.prepare.made"])
    site.spec("made", ["/bin/sh", "-c", run], **more)
    site.ask("made", "start")
    log = f"{site.dir}/lib/services/made/log/made.log"
    wait_for(lambda: open(log).read() == "no luck\nwell\n")
    state = site.state("made")
    assert state["restarts"] == 1 and state["why"] == "its preparation failed; its log: no luck"
    site.ask("made", "reload")
    wait_for(lambda: open(log).read().endswith("reloaded\n"))
    assert site.state("made")["reloads"] == 1 and site.state("made")["pid"] == state["pid"]
    site.ask("made", "stop")
    assert open(log).read().endswith("interrupted\n") and site.state("made")["exit"] == 0
    # A program reloads it, with a result; bubblewrap that somebody stopped does not keep it.
    del more["reload_signal"]
    site.spec("made", ["/bin/sh", "-c", run], **more, reload=["/bin/sh", "-c", "echo told; exit $(cat /data/how)"])
    site.ask("made", "start")
    for how, want in (("0", "ok"), ("1", "state-moved")):
        with open(f"{site.dir}/lib/services/made/data/how", "w") as f:
            f.write(how)
        site.ask("made", "reload", (want,))
    assert "its reload failed" in site.state("made")["why"] and site.state("made")["state"] == "running"
    # A signal and a program: the signal goes first, the program says what came of it.
    site.ask("made", "stop")
    site.spec("made", ["/bin/sh", "-c", run], **more, reload_signal="HUP",
              reload=["/bin/sh", "-c", "until tail -n 1 /log/made.log | grep -q reloaded; do sleep 0.1; done;"
                      " exit $(cat /data/how)"])
    site.ask("made", "start")
    wait_for(lambda: open(log).read().endswith("well\n"))  # what has set its traps before
    for how, want in (("0", "ok"), ("1", "state-moved")):
        with open(f"{site.dir}/lib/services/made/data/how", "w") as f:
            f.write(how)
        site.ask("made", "reload", (want,))
    pid = site.state("made")["pid"]
    with open(f"/proc/{pid}/stat") as f:
        box = int(f.read().rsplit(")", 1)[1].split()[1])
    os.kill(box, signal.SIGSTOP)
    site.ask("made", "stop")
    assert not alive(pid) and not alive(box)


def test_a_stubborn_service_ends_with_all_that_it_started(site):
    """It ignores TERM, closes its log, leaves zombies and a daemon of its own, and nothing of it stays."""
    site.up()
    site.spec("stubborn", ["/bin/sh", "-c", "trap '' TERM; (setsid sleep 8641 &) ; (true &) ; exec >&- 2>&-;"
                           " while :; do sleep 0.1; done"], grace_ms=300)
    site.ask("stubborn", "start")

    def daemons():
        return [p for p in filter(str.isdigit, os.listdir("/proc"))
                if os.path.exists(f"/proc/{p}/cmdline") and open(f"/proc/{p}/cmdline", "rb").read() == b"sleep\x008641\0"]
    wait_for(daemons)
    site.ask("stubborn", "stop")
    assert site.state("stubborn")["exit"] == 137
    wait_for(lambda: not daemons())


POSTGRES = "/usr/lib/postgresql/15/bin"
NGINX = """daemon off; pid /data/pid; error_log stderr; events {}
http { access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; server { listen unix:/run/service/w.sock; location / { return 200 ok; } } }
"""


@pytest.mark.skipif(not all(os.path.exists(p) for p in (f"{POSTGRES}/initdb", "/usr/sbin/nginx", "/usr/sbin/nats-server")),
                    reason="needs postgresql-15, nginx and nats-server")
def test_real_services_run_behind_the_walls(site):
    site.up()
    site.program("web", NGINX)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    more = dict(v=2, net="none", memory=512 << 20, processes=200)
    site.spec("pg", [f"{POSTGRES}/postgres", "-D", "/data/pg", "-k", "/run/service", "-c", "listen_addresses="], **more,
              health="postgres", socket=".s.PGSQL.5432", creates="pg", stop="INT",
              prepare=[f"{POSTGRES}/initdb", "-D", "/data/.prepare.pg", "--no-sync"])
    site.spec("web", ["/usr/sbin/nginx", "-c", "/conf/program", "-e", "stderr"], **more, health="http", socket="w.sock",
              path="/", expect="ok", stop="QUIT", reload_signal="HUP")
    site.spec("bus", ["/usr/sbin/nats-server", "-a", "127.0.0.1", "-p", "-1", "-m", str(port), "-js", "--sd", "/data"],
              **(more | dict(net="host")), health="http", port=port, path="/healthz", expect="ok")
    for name in ("pg", "web", "bus"):
        site.ask(name, "start")
        assert site.state(name)["health"] == "passing"
    site.ask("web", "reload")
    for name in ("pg", "web"):
        site.ask(name, "stop")
        assert site.state(name)["exit"] == 0


def test_a_log_stays_bounded(site):
    site.up()
    site.spec("noisy", ["/bin/sh", "-c", "while :; do echo 0123456789012345678901234567890123456789; sleep 0.01; done"],
              log_bytes=4096)
    site.ask("noisy", "start")
    log = f"{site.dir}/lib/services/noisy/log/noisy.log"
    wait_for(lambda: os.path.getsize(log + ".1") >= 4096)  # the end of what was over it
    assert os.path.getsize(log) < 4096 * 16


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_roles_have_uids_and_the_monitor_no_network():
    site = Site(closed=True)
    try:
        site.up()
        path = site.redis()
        assert {"separate-uids", "netns", "pid-namespaces"} <= set(site.enforced()["enforced"])
        uids = {r: os.stat(f"/proc/{p}").st_uid for r, p in site.roster().items()}
        assert len({uids[r] for r in ("monitor", "collectd", "courier", "shim redis")}) == 4
        with open(f"/proc/{site.roster()['monitor']}/net/dev") as f:
            assert [line.split(":")[0].strip() for line in f.readlines()[2:]] == ["lo"]
        assert os.readlink(f"/proc/{site.roster()['courier']}/ns/net") == os.readlink("/proc/self/ns/net")
        pings = Pinger(path, timeout_s=5)
        pings.start()
        for role in ("supervise", "shim redis"):
            site.kill(role)
        pings.on = False
        pings.join()
        assert pings.failed == []
    finally:
        site.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes an ordinary user")
def test_an_ordinary_user_may_run_it():
    site = Site(uid=pwd.getpwnam("nobody").pw_uid)
    try:
        site.up()
        path = site.redis()
        assert {"separate-uids", "netns"} <= set(site.enforced()["not_enforced"])
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"PING\r\n")
            assert s.recv(64) == b"+PONG\r\n"
        site.kill("supervise")
        site.kill("shim redis")
        assert site.run("run", "--down").returncode == 0
        assert site.state("redis")["state"] == "stopped"
    finally:
        site.end()


@pytest.mark.skipif(not all(os.path.exists(f"{BUILD}/bin/{p}") for p in ("mainstay", "mainstayd", "mainstay-collectd",
                                                                        "mainstay-courier")),
                    reason="needs the daemons")
def test_the_daemons_come_back():
    site = Site(real=True)
    try:
        site.up()
        # What stays for the sake of others is the small program, by its old name.
        assert os.readlink(f"/proc/{site.process.pid}/exe") == SUPERVISE
        with open(f"/proc/{site.process.pid}/comm") as f:
            assert f.read() == "mainstay\n"
        for role in ("monitor", "collectd", "courier", "supervise", "monitor"):
            site.kill(role)
        wait_for(lambda: site.run("status").returncode == 0, 20, "status")
        status = json.loads(site.run("status", "--json").stdout)
        assert {"monitor", "collectd", "courier"} <= {d["name"] for d in status["daemons"]}
        assert set(status["not_enforced"]) == set(site.enforced()["not_enforced"])
        assert site.run("run", "--down").returncode == 0
        assert site.process.wait(30) == 0
    finally:
        site.end()
