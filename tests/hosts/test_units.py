"""From inside each unit, with the unit's own properties: what is forbidden fails, with the errno named."""

import subprocess
import time

import pytest

import driver
from driver import Machine, UnitSite, played

pytestmark = pytest.mark.skipif(bool(driver.missing()), reason=f"needs {driver.missing()}")

# Run in the unit's namespaces, as its user, under its filter: a drop-in puts it in the daemon's place.
PROBE = r"""
use strict; use Errno; use Socket;
sub say { my ($what, $ok) = @_; printf "%s %d\n", $what, $ok ? 0 : $!+0; }
say "etc", open(my $a, ">", "/etc/probe");
say "usr", open(my $b, ">", "/usr/probe");
say "home", opendir(my $c, "/root");
say "ptrace", syscall(101, 16, 1, 0, 0) >= 0;
my ($none, $tmp, $tmpfs) = ("none", "/tmp", "tmpfs"); # syscall() wants strings that it could change
say "mount", syscall(165, $none, $tmp, $tmpfs, 0, 0) >= 0;
say "unshare", syscall(272, 0x10000000) >= 0;
say "bpf", syscall(321, 0, 0, 0) >= 0;
say "module", syscall(175, 0, 0, 0) >= 0;
say "reboot", syscall(169, 0, 0, 0, 0) >= 0;
say "inet", socket(my $d, AF_INET, SOCK_STREAM, 0);
say "packet", socket(my $e, 17, SOCK_RAW, 0);
say "site-key", opendir(my $f, "/var/lib/mainstay/monitor");
say "courier-key", opendir(my $g, "/var/lib/mainstay/courier");
say "pseudonym-key", open(my $h, "<", "/var/lib/mainstay/telemetry/pseudonym.key");
for my $name ("control", "courier", "collect", "supervise") {
	socket(my $s, AF_UNIX, SOCK_SEQPACKET, 0);
	say "$name.sock", connect($s, pack_sockaddr_un("/run/mainstay/$name.sock"));
}
"""

EPERM, EACCES, EROFS, EAFNOSUPPORT, ENOENT = 1, 13, 30, 97, 2
ALL = {"ptrace": EPERM, "mount": EPERM, "bpf": EPERM, "module": EPERM, "reboot": EPERM, "unshare": EPERM,
       "packet": EAFNOSUPPORT, "usr": EROFS, "etc": EROFS}
FORBIDDEN = {
    "mainstayd": ALL | {"inet": EAFNOSUPPORT},
    "mainstay-collectd": ALL | {"inet": EAFNOSUPPORT, "home": EACCES, "site-key": EACCES, "courier-key": EACCES,
                                "control.sock": EACCES, "courier.sock": EACCES, "supervise.sock": EACCES},
    "mainstay-courier": ALL | {"home": EACCES, "site-key": EACCES, "pseudonym-key": EACCES,
                               "control.sock": EACCES, "collect.sock": EACCES, "supervise.sock": EACCES},
    "mainstay-dial": ALL | {"home": EACCES, "site-key": EACCES, "courier-key": EACCES, "pseudonym-key": EACCES,
                            "control.sock": EACCES, "courier.sock": EACCES, "collect.sock": EACCES, "supervise.sock": EACCES},
}
ALLOWED = {"mainstayd": ("site-key",), "mainstay-collectd": ("collect.sock",), "mainstay-courier": ("inet", "courier.sock"),
           "mainstay-dial": ("inet",)}
SCORES = {"mainstay-courier": 1.5, "mainstay-collectd": 1.5, "mainstay-dial": 1.5, "mainstayd": 1.8}


@pytest.fixture(scope="module")
def machine():
    m = Machine()
    try:
        m.install({name: f"{played.BUILD}/bin/{name}" for name in (*driver.DAEMONS, "mainstay-supervise", "mainstay-judge")})
        m.put(f"{played.BUILD}/bin/mainstay", "/usr/bin/mainstay")
        m.inside("sh", "-c", f"cat >/usr/lib/mainstay/probe <<'EOF'\n{PROBE}\nEOF")
        yield m
    finally:
        m.down()


@pytest.fixture(scope="module")
def site(machine):
    s = UnitSite(machine)
    s.up()
    yield s
    s.end()


def test_the_daemons_are_up_and_known(site):
    assert set(site.roster()) >= {"monitor", "collectd", "courier"}
    for unit in ("mainstayd", "mainstay-collectd", "mainstay-courier"):
        assert site.machine.inside("systemctl", "show", "-P", "NRestarts", unit).strip() == "0", site.log()
    got = subprocess.run([f"{driver.HERE}/host", "in", site.machine.name, "journalctl", "-p", "warning", "-t", "mainstayd", "--no-pager"],
                         capture_output=True, text=True, timeout=60).stdout
    assert "wrong-role" not in got


@pytest.mark.parametrize("unit", sorted(FORBIDDEN))
def test_what_a_unit_may_not(site, unit):
    copy = site.machine.inside("systemctl", "cat", unit)
    keep = [line for line in copy.splitlines()
            if not line.startswith(("#", "ExecStart=", "Type=", "WatchdogSec=", "Restart", "Requires=", "Wants=", "PartOf=", "After=",
                                    "WantedBy=", "[Install]"))]
    at = keep.index("[Service]")
    keep[at + 1:at + 1] = ["Type=oneshot", "ExecStart=/usr/bin/perl /usr/lib/mainstay/probe", "StandardOutput=file:/run/probe.out"]
    site.machine.inside("sh", "-c", "cat >/run/systemd/system/probe.service <<'EOF'\n" + "\n".join(keep) + "\nEOF\n"
                        "rm -f /run/probe.out; systemctl daemon-reload; systemctl start probe.service")
    got = dict(line.split() for line in site.machine.inside("cat", "/run/probe.out").splitlines())
    assert {k: int(got[k]) for k in FORBIDDEN[unit]} == FORBIDDEN[unit], got
    assert all(got[what] == "0" for what in ALLOWED[unit]), got


def test_how_exposed_they_are(site):
    for unit, most in SCORES.items():
        text = site.machine.inside("systemd-analyze", "security", "--no-pager", f"{unit}.service").splitlines()[-1]
        assert float(text.split(": ")[1].split()[0]) <= most, text


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
