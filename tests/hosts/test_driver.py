"""The driver on a real systemd: the tests of tests/e2e/test_supervise.py once more, and what only units have."""

import glob
import os
import signal
import time

import pytest

import driver
from driver import Machine, UnitSite, eventually, played

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


@pytest.fixture(scope="module")
def machine():
    m = Machine()
    try:
        for lib in glob.glob("/usr/lib/x86_64-linux-gnu/libcmocka.so.0*") + glob.glob("/usr/lib/aarch64-linux-gnu/libcmocka.so.0*"):
            m.put(lib, f"/usr/lib/{os.path.basename(lib)}")
        m.install({name: played.PLAY for name in driver.DAEMONS} | {"mainstay-supervise": played.SUPERVISE})
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
