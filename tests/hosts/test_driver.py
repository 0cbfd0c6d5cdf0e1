"""The driver on a real systemd: the tests of tests/e2e/test_supervise.py once more, and what only units have."""

import glob
import hashlib
import os
import shutil
import signal
import struct
import subprocess
import time

import pytest

import driver
from driver import EACCES, ENETUNREACH, ENOENT, EPERM, EROFS, PROBE, Machine, UnitSite, eventually, played, probed

# One set of tests for both bodies: the same functions, with a site whose PID 1 is systemd.
test_a_killed_service = played.test_a_killed_service_comes_back_and_a_stopped_one_stays_down
test_a_frozen_service = played.test_a_frozen_service_is_seen_and_healed_where_the_definition_says
test_a_crash = played.test_what_crashes_at_once_is_given_up
test_a_health_check = played.test_a_program_is_the_health_check
test_the_sandbox = played.test_the_sandbox_shows_what_it_should
test_limits = played.test_limits_hold_and_say_so
test_preparation_and_reload = played.test_it_is_prepared_once_and_reloads
test_a_stubborn_service = played.test_a_stubborn_service_ends_with_all_that_it_started
test_a_log = played.test_a_log_stays_bounded

pytestmark = pytest.mark.skipif(bool(driver.missing()), reason=f"needs {driver.missing()}")


WORKERS = ("mainstay-judge", "mainstay-operate", "mainstay-activate", "mainstay-notify")


@pytest.fixture(scope="module")
def machine():
    m = Machine()
    try:
        for lib in glob.glob("/usr/lib/x86_64-linux-gnu/libcmocka.so.0*") + glob.glob("/usr/lib/aarch64-linux-gnu/libcmocka.so.0*"):
            m.put(lib, f"/usr/lib/{os.path.basename(lib)}")
        m.install({name: played.PLAY for name in (*driver.DAEMONS, *WORKERS)} | {"mainstay-supervise": played.SUPERVISE})
        m.inside("sh", "-c", f"cat >/usr/lib/mainstay/probe <<'EOF'\n{PROBE}\nEOF")
        yield m
    finally:
        m.down()


@pytest.fixture
def site(machine):
    s = UnitSite(machine)
    yield s
    s.end()


def test_redis_outlives_each_process(site):
    site.up()
    path = site.redis()
    pid = site.state("redis")["pid"]
    pings = played.Pinger(path, timeout_s=5)
    pings.start()
    for role in ("monitor", "collectd", "courier", "shim redis", "monitor", "shim redis"):
        site.kill(role)
        time.sleep(0.3)
    site.machine.inside("systemctl", "stop", "mainstay.target")
    daemons = site.machine.inside("systemctl", "is-active", "mainstayd", "mainstay-collectd", "mainstay-courier", check=False)
    assert daemons.split() == ["inactive"] * 3
    time.sleep(0.3)
    site.up()
    site.machine.inside("systemctl", "restart", "mainstay-core.service")  # as another core is taken
    eventually(lambda: site.roster().get("shim redis"))
    site.machine.inside("systemctl", "daemon-reexec")  # PID 1 itself anew
    site.kill("shim redis")
    site.machine.inside("systemctl", "daemon-reload")  # as whatever is installed on this host has it do
    time.sleep(0.5)
    assert site.roster().get("shim redis") and "redis.service: ended" not in site.log()
    pings.on = False
    pings.join()
    assert pings.failed == [] and pings.ok > 50, site.log()
    state = site.state("redis")
    assert (state["pid"], state["state"], state["health"], state["restarts"]) == (pid, "running", "passing", 0)
    site.ask("redis", "stop")
    assert not played.alive(pid)


def test_limits_and_accounting_are_the_units(site):
    site.up()
    site.spec("held", ["/bin/sh", "-c", "while :; do :; done"], v=2, memory=64 << 20, processes=20, cpu_milli=250, grace_ms=300)
    site.ask("held", "start")
    got = site.unit("held", "MemoryMax", "TasksMax", "CPUQuotaPerSecUSec", "Slice", "WatchdogUSec", "OOMPolicy", "KillMode")
    assert got == {"MemoryMax": str(72 << 20), "TasksMax": "24", "CPUQuotaPerSecUSec": "250ms", "Slice": "mainstay-services.slice",
                   "WatchdogUSec": "30s", "OOMPolicy": "continue", "KillMode": "process"}
    if driver.UNIFIED:
        pytest.skip("version 2 of this machine's control groups has no controllers that count")
    time.sleep(2)
    used = site.unit("held", "CPUUsageNSec", "MemoryCurrent", "TasksCurrent")
    assert int(used["MemoryCurrent"]) > 1 << 18 and int(used["TasksCurrent"]) >= 3
    if used["CPUUsageNSec"] != "[not set]":  # version 1 without cpuacct
        assert int(used["CPUUsageNSec"]) > 1e8


def test_a_secret_is_with_pid_1_alone(site):
    """It outlives shim and monitor, is no property of the unit, and stands in no argument, environment or file."""
    site.up()
    site.spec("keeper", ["/bin/sh", "-c", "tr a-y b-z </run/secrets/password; exec sleep 1000"], v=2, secrets=["password"], grace_ms=300)
    site.ask("keeper", "start")
    log = f"{site.dir}/lib/services/keeper/log/keeper.log"
    eventually(lambda: open(log).read() == "dbobsz-pg-qbttxpse\n")
    site.machine.inside("systemctl", "stop", "mainstayd.service")
    old = site.state("keeper")["pid"]
    shim = [here for there, here in site.machine.processes().items() if there == int(site.unit("keeper", "MainPID")["MainPID"])][0]
    os.kill(shim, signal.SIGKILL)
    eventually(lambda: int(site.unit("keeper", "NRestarts")["NRestarts"]) == 1)
    os.kill(old, signal.SIGKILL)  # without the monitor and with another shim: it comes back, with its secret
    eventually(lambda: open(log).read() == "dbobsz-pg-qbttxpse\n" * 2)
    assert "canary" not in site.machine.inside("systemctl", "show", "mainstay-service-keeper.service")
    assert not site.state("keeper").get("lost_secrets")
    for pid in site.machine.processes().values():
        for what in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{what}", "rb") as f:
                    assert b"canary-of" not in f.read()
            except OSError:
                pass
    assert site.machine.inside("grep", "-rl", "canary-of", "/run/mainstay", "/run/systemd/transient", "/var/lib/mainstay",
                               check=False) == ""


def test_a_shim_that_hangs_is_replaced_by_the_watchdog(site):
    site.up()
    site.spec("plain", ["/bin/sleep", "1000"], grace_ms=300)
    site.ask("plain", "start")
    pid = site.state("plain")["pid"]
    os.kill(site.roster()["shim plain"], signal.SIGSTOP)
    eventually(lambda: int(site.unit("plain", "NRestarts")["NRestarts"]) == 1, 60)
    eventually(lambda: site.roster().get("shim plain"))
    assert site.state("plain")["pid"] == pid and site.state("plain")["restarts"] == 0


def test_a_daemon_that_crashes_again_and_again_stays_down(site):
    site.up()
    for _ in range(12):
        pid = site.roster().get("courier", 0)
        if pid and played.alive(pid):
            os.kill(pid, signal.SIGKILL)
        if "start-limit" in site.machine.inside("systemctl", "show", "mainstay-courier.service", "-pResult", check=False):
            break
        time.sleep(1.3)
    assert site.machine.inside("systemctl", "is-failed", "mainstay-courier.service", check=False).strip() == "failed"
    eventually(lambda: site.roster().get("courier") == 0)
    assert site.roster()["monitor"] and site.roster()["collectd"]


# --- from inside what the monitor asks PID 1 for ------------------------------------------------------------------------
# Beside what is listed a worker gives up more by its own hand (appliance/loop/confine.c), which is tried where it does.
NOBODY = {"etc": EACCES, "usr": EACCES, "home": EACCES, "ptrace": EPERM, "mount": EPERM, "bpf": EPERM, "module": EPERM,
          "reboot": EPERM, "packet": EPERM, "site-key": EACCES, "courier-key": EACCES, "pseudonym-key": EACCES,
          "control.sock": EACCES, "courier.sock": EACCES, "collect.sock": EACCES, "supervise.sock": EACCES}
ROOT = {"ptrace": EPERM, "mount": EPERM, "bpf": EPERM, "module": EPERM, "reboot": EPERM, "packet": EPERM}
INSIDE = {
    "judge": NOBODY | {"out": ENETUNREACH},
    "notify": NOBODY,
    "activate": ROOT | {"out": ENETUNREACH},
    # Root without power over files: it may become the service's user, in whose sandbox the operation runs.
    "operate": ROOT | {"courier-key": EACCES, "pseudonym-key": EACCES},
}


def secrets(site):
    """What must be out of reach is there: folders of their owners, and sockets that somebody listens on."""
    site.machine.inside("perl", "-e", """use Socket; chdir "/run/mainstay" or die;
        mkdir "/var/lib/mainstay/telemetry"; open(my $k, ">", "/var/lib/mainstay/telemetry/pseudonym.key"); chmod 0600, "/var/lib/mainstay/telemetry/pseudonym.key";
        chown +(getpwnam("mainstay-collect"))[2,3], "/var/lib/mainstay/telemetry/pseudonym.key";
        umask 077; exit if fork; POSIX::setsid() if eval { require POSIX };
        my @s; for my $n ("control", "courier", "collect", "supervise") { unlink "$n.sock";
            socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0); bind($s, pack_sockaddr_un("$n.sock")) or die "$n: $!"; listen($s, 9); push @s, $s }
        close STDOUT; close STDERR; sleep 60""")


def worker(site, kind, script):
    site.machine.inside("sh", "-c", f"cat >/usr/lib/mainstay/worker.sh <<'EOF'\n{script}\nEOF\nrm -f /run/worker.out; : >/run/worker.out; chmod 666 /run/worker.out")
    site.ask(kind, "work")


@pytest.mark.parametrize("kind", sorted(INSIDE))
def test_what_a_worker_may_not(site, kind):
    site.up()
    secrets(site)
    worker(site, kind, "/usr/bin/perl /usr/lib/mainstay/probe >>/run/worker.out 2>&1; exec sleep 1000")
    got = probed(eventually(lambda: "all 0" in (t := open(f"{site.machine.root}/run/worker.out").read()) and t))
    assert {k: got[k] for k in INSIDE[kind]} == INSIDE[kind], got
    site.ask(kind, "kill")


def test_what_a_service_may_not(site):
    site.up()
    site.program("prober", PROBE + "sleep 1000;")
    site.spec("prober", ["/usr/bin/perl", "/conf/program"], v=2, network=False, net="none", grace_ms=300, heal="never")
    site.ask("prober", "start")
    log = f"{site.dir}/lib/services/prober/log/prober.log"
    got = probed(eventually(lambda: "all 0" in (t := open(log).read()) and t))
    want = {"etc": EROFS, "usr": EROFS, "home": EACCES, "ptrace": EPERM, "mount": EPERM, "unshare": EPERM, "bpf": EPERM,
            "module": EPERM, "reboot": EPERM, "packet": EPERM, "out": ENETUNREACH, "site-key": EACCES, "courier-key": EACCES,
            "pseudonym-key": EACCES, "control.sock": ENOENT, "courier.sock": ENOENT, "collect.sock": ENOENT, "supervise.sock": ENOENT}
    assert {k: got[k] for k in want} == want, got
    site.ask("prober", "stop")


def test_a_killed_worker_leaves_nobody_behind(site):
    """Forked twice, of a session of its own, deaf to all that can be ignored: the whole control group goes."""
    site.up()
    worker(site, "operate", "(trap '' TERM HUP INT; setsid sh -c 'sleep 86421 & sleep 86421 & wait' &) ; exec sleep 1000")
    left = lambda: site.machine.inside("pgrep", "-cf", "sleep 86421", check=False).strip()  # noqa: E731
    eventually(lambda: int(left()) >= 2)
    site.ask("operate", "kill")
    eventually(lambda: left() == "0", 10)


# --- a core that fails late ----------------------------------------------------------------------------------------------
LATE = {
    # It says ready and never proves itself.
    "hangs": None,
    # It says ready, and dies a little later, until PID 1 gives it up.
    "crashes": "#!/bin/sh\n(sleep 0.3; kill -9 $$) &\nexec /usr/lib/mainstay/mainstayd\n",
}


def slots(trial_ms, digest, version):
    """lib/core/slots.N (slots.h): slot a on trial, once; the packaged core before it."""
    def text(s):
        return bytes([len(s)]) + s.encode()

    none = bytes(1 + 32 + 8) + text("")
    body = (b"mscore1\n" + struct.pack(">Q6BII", 1000, 1, 0, 2, 0, 0, 1, trial_ms, 1000) +
            b"\x01" + digest + struct.pack(">Q", 1) + text("9.9") + none +
            text(version) + struct.pack(">Q", 0) + text("") + text("mainstay-1") + text("mainstay-1"))
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize("how", sorted(LATE))
def test_a_core_that_fails_late_gives_way(site, how):
    site.up()
    site.spec("plain", ["/bin/sleep", "1000"], grace_ms=300)
    site.ask("plain", "start")
    pid = site.state("plain")["pid"]
    version = subprocess.run([f"{played.BUILD}/bin/mainstay", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    digest = hashlib.sha256(how.encode()).digest()
    folder = f"{site.dir}/lib/store/{digest.hex()}/bin"
    os.makedirs(folder)
    for name in driver.DAEMONS:
        shutil.copy(played.PLAY, f"{folder}/{name}")
    if LATE[how]:
        with open(f"{folder}/mainstayd", "w") as f:
            f.write(LATE[how])
    with open(f"{site.dir}/lib/core/slots.0", "wb") as f:
        f.write(slots(16000 if LATE[how] else 4000, digest, version))
    site.machine.inside("systemctl", "restart", "--no-block", "mainstay-core.service")
    core = f"{site.dir}/run/core"
    eventually(lambda: digest.hex() in os.readlink(core))
    if LATE[how]:
        eventually(lambda: site.machine.inside("systemctl", "is-failed", "mainstayd", check=False) == "failed\n", 30)
    eventually(lambda: os.readlink(core) == "/usr/lib/mainstay", 30)
    eventually(lambda: all(played.alive(site.roster().get(r, 0)) for r in ("monitor", "collectd", "courier")))
    assert "did not prove itself in time" in site.machine.inside("journalctl", "-u", "mainstay-core", "--no-pager", "-n", "20")
    state = site.state("plain")
    assert (state["pid"], state["restarts"], played.alive(pid)) == (pid, 0, True)
    site.ask("plain", "stop")
