"""From inside each unit, with the unit's own properties: what is forbidden fails, with the errno named; and what an administrator
sees of the units: switches, the operators' group, a daemon that is given up."""

import json
import time

import pytest

import driver
from driver import EACCES, EAFNOSUPPORT, EPERM, EROFS, PROBE, Machine, UnitSite, host, played, probed

pytestmark = pytest.mark.skipif(bool(driver.missing()), reason=f"needs {driver.missing()}")

ALL = {"ptrace": EPERM, "mount": EPERM, "bpf": EPERM, "module": EPERM, "reboot": EPERM, "unshare": EPERM,
       "packet": EAFNOSUPPORT, "usr": EROFS, "etc": EROFS}
# Keys and sockets of all others.
KEYS = {"site-key": EACCES, "courier-key": EACCES, "pseudonym-key": EACCES, "hub-key": EACCES}
SOCKETS = {"control.sock": EACCES, "courier.sock": EACCES, "collect.sock": EACCES, "supervise.sock": EACCES}


def but(what, *names):
    return {k: v for k, v in what.items() if k not in names}


FORBIDDEN = {
    # Root, whose files all keys are: what it can do with them it does without a network.
    "mainstayd": ALL | {"inet": EAFNOSUPPORT},
    # It tries sandboxes, which are made of namespaces.
    "mainstay-core": but(ALL, "unshare") | {"inet": EAFNOSUPPORT},
    "mainstay-collectd": ALL | {"inet": EAFNOSUPPORT, "home": EACCES} | but(KEYS, "pseudonym-key") |
    but(SOCKETS, "collect.sock"),
    "mainstay-courier": ALL | {"home": EACCES} | but(KEYS, "courier-key") | but(SOCKETS, "courier.sock"),
    "mainstay-dial": ALL | {"home": EACCES} | KEYS | SOCKETS,
    "mainstay-hubd": ALL | {"home": EACCES} | but(KEYS, "hub-key") | SOCKETS,
}
ALLOWED = {"mainstayd": ("site-key",), "mainstay-core": (), "mainstay-collectd": ("collect.sock", "pseudonym-key"),
           "mainstay-courier": ("inet", "courier.sock", "courier-key"), "mainstay-dial": ("inet",), "mainstay-hubd": ("inet", "hub-key")}
# As the table of packaging/README.md says.
SCORES = {"mainstay-courier": 1.2, "mainstay-collectd": 1.4, "mainstay-dial": 1.5, "mainstayd": 1.7, "mainstay-hubd": 1.6,
          "mainstay-core": 3.5}


@pytest.fixture(scope="module")
def machine():
    m = Machine()
    try:
        m.install({name: f"{played.BUILD}/bin/{name}" for name in (*driver.DAEMONS, "mainstay-supervise", "mainstay-judge")})
        m.put(f"{played.BUILD}/bin/mainstay", "/usr/bin/mainstay")
        m.put(f"{driver.UNITS}/mainstay-hub.sysusers", "/usr/lib/sysusers.d/mainstay-hub.conf")
        m.inside("systemd-sysusers")
        m.inside("ln", "-s", "/usr/lib/mainstay/mainstay-collectd", "/usr/lib/systemd/system-generators/mainstay-listen")
        m.inside("install", "-d", "-m", "700", "-o", "mainstay-hub", "-g", "mainstay-hub", "/var/lib/mainstay-hub")
        m.inside("sh", "-c", f"cat >/usr/lib/mainstay/probe <<'EOF'\n{PROBE}\nEOF")
        yield m
    finally:
        m.down()


@pytest.fixture(scope="module")
def site(machine):
    s = UnitSite(machine)
    machine.inside("systemctl", "start", "mainstay.target")
    played.wait_for(lambda: s.roster().get("monitor") and s.roster().get("collectd"), 20, "the daemons")
    yield s
    s.end()


def mainstay(site, *args, code=0, user=None):
    done = host("in", site.machine.name, *(("runuser", "-u", user, "--") if user else ()), "mainstay", *args)
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def show(site, unit, what):
    return site.machine.inside("systemctl", "show", "-P", what, unit).strip()


def runs(site):
    """Does any process of the courier's user?"""
    return site.machine.inside("pgrep", "-cu", "mainstay-courier", check=False).strip() != "0"


def test_with_all_switches_off_nothing_runs_that_could_send(site):
    files = "/etc/mainstay/off"
    driver.eventually(lambda: site.machine.inside("ls", files).split() == ["remote", "telemetry", "updates"])
    assert show(site, "mainstay-courier", "ActiveState") == "inactive" and not runs(site)
    site.machine.inside("systemctl", "start", "mainstay.target", "mainstay-courier.service")
    assert show(site, "mainstay-courier", "ConditionResult") == "no" and not runs(site)
    assert "Condition: start condition failed" in site.machine.inside("systemctl", "status", "mainstay-courier", check=False)
    assert "courier does not run: all switches are off" in mainstay(site, "status")
    daemon = next(d for d in json.loads(mainstay(site, "status", "--json"))["daemons"] if d["name"] == "courier")
    assert (daemon["pid"], daemon["wanted"]) == (0, False)
    mainstay(site, "on", "updates")
    driver.eventually(lambda: show(site, "mainstay-courier", "ActiveState") == "active")
    assert "courier, pid " in driver.eventually(lambda: "courier, pid" in (t := mainstay(site, "status")) and t)
    mainstay(site, "off", "updates")
    driver.eventually(lambda: not runs(site))
    # A monitor that hangs is asked by nobody: the file alone keeps the courier from coming back.
    mainstay(site, "on", "remote")
    driver.eventually(lambda: runs(site))
    site.machine.inside("touch", f"{files}/remote")
    driver.eventually(lambda: not runs(site))
    site.machine.inside("systemctl", "restart", "mainstay-core.service")
    driver.eventually(lambda: site.roster().get("collectd"))
    assert not runs(site)
    mainstay(site, "on", "all")
    driver.eventually(lambda: show(site, "mainstay-courier", "ActiveState") == "active")
    assert show(site, "mainstay-courier", "ConditionResult") == "yes"


def test_the_operators_group_may_look(site):
    site.machine.inside("useradd", "-m", "carol")
    refused = mainstay(site, "status", code=1, user="carol")
    assert "[wrong-role]" in refused and "usermod -aG mainstay" in refused, refused
    site.machine.inside("usermod", "-aG", "mainstay", "carol")
    assert "monitor, pid" in mainstay(site, "status", user="carol")
    mainstay(site, "audit", "log", user="carol")
    mainstay(site, "requests", "list", user="carol")
    for verb in (("off", "remote"), ("on", "remote"), ("update", "hold"), ("service", "stop", "redis")):
        refused = mainstay(site, *verb, code=1, user="carol")
        assert "[wrong-role]" in refused, refused
    assert site.machine.inside("stat", "-c", "%a %U %G", "/run/mainstay/control.sock").split() == ["660", "root", "mainstay"]


def test_the_daemons_are_up_and_known(site):
    assert set(site.roster()) >= {"monitor", "collectd", "courier"}
    assert json.loads(mainstay(site, "status", "--json"))["not_enforced"] == (["cgroups"] if driver.UNIFIED else [])
    for unit in ("mainstayd", "mainstay-collectd", "mainstay-courier"):
        assert show(site, unit, "NRestarts") == "0", site.log()
    got = host("in", site.machine.name, "journalctl", "-p", "warning", "-t", "mainstay-courier", "-t", "mainstay-collectd", "--no-pager").stdout
    assert "wrong-role" not in got


PAGE = 'use IO::Socket::INET; my $s = IO::Socket::INET->new("%s") or exit 1; print $s "GET /metrics HTTP/1.0\\r\\n\\r\\n"; print <$s>'


def test_a_port_is_the_collectors_where_the_file_asks_for_one(site):
    def page():
        return site.machine.inside("perl", "-e", PAGE % "127.0.0.1:9190", check=False)

    file, was = "/etc/mainstay/mainstay.yaml", show(site, "mainstay-collectd", "MainPID")
    site.machine.inside("sh", "-c", f"printf 'telemetry:\\n  period: 1s\\n  listen: 9190\\n' >{file}")
    # It begins anew by itself with the changed file, and says what is missing.
    driver.eventually(lambda: show(site, "mainstay-collectd", "MainPID") not in (was, "0"), 30)
    driver.eventually(lambda: "systemctl daemon-reload && systemctl restart mainstay-collectd" in
                      site.machine.inside("journalctl", "-t", "mainstay-collectd", "--no-pager", "-n", "30"))
    site.machine.inside("sh", "-c", "systemctl daemon-reload && systemctl restart mainstay-collectd")
    assert "host_" in driver.eventually(lambda: "host_" in (t := page()) and t, 30)
    assert "AF_INET" in show(site, "mainstay-collectd", "RestrictAddressFamilies").split()
    assert show(site, "mainstay-collectd", "IPAddressAllow") != "" != show(site, "mainstay-collectd", "IPAddressDeny")
    site.machine.inside("sh", "-c", f"rm {file}; systemctl daemon-reload; systemctl restart mainstay-collectd")
    assert show(site, "mainstay-collectd", "RestrictAddressFamilies") == "AF_UNIX" and page() == ""


@pytest.mark.parametrize("unit", sorted(FORBIDDEN))
def test_what_a_unit_may_not(site, unit):
    copy = site.machine.inside("systemctl", "cat", unit)
    keep = [line for line in copy.splitlines()
            if not line.startswith(("#", "ExecStart=", "Type=", "WatchdogSec=", "Restart", "Requires=", "Wants=", "PartOf=", "After=",
                                    "Condition", "RemainAfterExit", "WantedBy=", "[Install]"))]
    at = keep.index("[Service]")
    keep[at + 1:at + 1] = ["Type=oneshot", "ExecStart=/usr/bin/perl /usr/lib/mainstay/probe", "StandardOutput=file:/run/probe.out"]
    site.machine.inside("sh", "-c", "cat >/run/systemd/system/probe.service <<'EOF'\n" + "\n".join(keep) + "\nEOF\n"
                        "rm -f /run/probe.out; systemctl daemon-reload; systemctl start probe.service")
    got = probed(site.machine.inside("cat", "/run/probe.out"))
    assert {k: got[k] for k in FORBIDDEN[unit]} == FORBIDDEN[unit], got
    assert all(got[what] == 0 for what in ALLOWED[unit]), got


def test_how_exposed_they_are(site):
    said = {}
    for unit in SCORES:
        text = site.machine.inside("systemd-analyze", "security", "--no-pager", f"{unit}.service").splitlines()[-1]
        said[unit] = float(text.split(": ")[1].split()[0])
    assert all(said[unit] <= most for unit, most in SCORES.items()), said


def test_a_daemon_that_crashes_again_and_again_is_left_down_and_status_says_so(site):
    site.machine.inside("systemctl", "restart", "mainstay-courier.service")
    for _ in range(30):
        site.machine.inside("systemctl", "kill", "-s", "KILL", "mainstay-courier.service", check=False)
        if site.machine.inside("systemctl", "is-failed", "mainstay-courier.service", check=False).strip() == "failed":
            break
        time.sleep(0.7)
    text = driver.eventually(lambda: "does not run" in (t := site.machine.inside("mainstay", "status")) and t)
    assert "daemon       courier does not run, after " in text and "`mainstay doctor` says where to look" in text, text
    assert "monitor, pid" in text and "collectd, pid" in text
    site.machine.inside("systemctl", "reset-failed", "mainstay-courier.service")
    site.machine.inside("systemctl", "start", "mainstay-courier.service")
    driver.eventually(lambda: "courier, pid" in site.machine.inside("mainstay", "status"))
