"""One site, before and without a vendor: what the customer's operator can see and decide alone."""

import http.server
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from proxy import Authority
from site_alone import BUILD, Site, until

pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "bin", "mainstayd")),
                                reason="needs the built programs")

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.fixture(scope="module", name="site")
def a_running_site():
    site = Site()
    try:
        site.up()
        yield site
    finally:
        site.down()


def leaves(site, **want):
    return [i for i in site.json("audit", "log")["items"] if all(i[k] == v for k, v in want.items())]


def test_the_examples_of_help_are_understood(tmp_path):
    """Where nothing is they are refused for what is missing, and for nothing that was typed."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MAINSTAY_STATE": str(tmp_path / "state")}

    def run(*args):
        return subprocess.run([os.path.join(BUILD, "bin", "mainstay"), *args], capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL, env=env, cwd=tmp_path)

    seen = 0
    for line in run("--help").stdout.split("commands:")[1].split("global options:")[0].strip().splitlines():
        command = re.split(r"  +", line.strip())[0]
        if command == "completion":
            continue  # all programs have it: it has no example of one
        text = run("help", *command.split()).stdout
        assert "examples:" in text, command
        for example in text.split("examples:")[1].split("\n\n")[0].replace("\\\n", " ").strip().splitlines():
            program, *args = shlex.split(example.split(" > ")[0])
            assert program == "mainstay" and args[0] == command.split()[0]
            if args[0] == "run" and "--down" not in args:
                continue  # it would
            done = run(*args)
            assert done.returncode in (0, 1, 3) and "[usage]" not in done.stderr, (example, done)
            seen += 1
    assert seen > 70


@pytest.mark.flow
def test_a_new_site_is_not_enrolled_and_all_is_off(site):
    status = site.status()
    assert status["api"] == "mainstay/v1" and status["kind"] == "Status"
    assert status["enrolled"] is False
    assert status["switches"] == {"telemetry": False, "updates": False, "remote": False}
    assert {d["name"] for d in status["daemons"]} >= {"monitor", "collectd", "courier", "supervise"}
    assert status["services"] == []
    assert set(status["audit"]) >= {"size", "root", "cosigned"}
    assert status["hub"]["url"] is None
    assert isinstance(status["enforced"], list) and isinstance(status["not_enforced"], list)


def test_the_text_says_the_same(site):
    text = site.run("status").stdout
    assert "not enrolled" in text
    assert "telemetry    off" in text


@pytest.mark.flow
def test_switches_go_on_and_off_with_a_leaf_each(site):
    assert site.json("on", "telemetry")["switches"]["telemetry"] is True
    assert leaves(site, kind="switch", object="telemetry on")
    assert site.status()["switches"] == {"telemetry": True, "updates": False, "remote": False}
    assert not any(site.json("off", "all")["switches"].values())
    assert leaves(site, kind="switch", object="telemetry off")
    error = site.json("on", "everything", code=2)
    assert error["kind"] == "Error" and error["reason"] == "usage"


def test_an_off_file_alone_is_enough(site):
    site.run("on", "updates")
    off = os.path.join(site.dir, "etc", "off", "updates")
    with open(off, "w"):
        pass
    assert site.status()["switches"]["updates"] is False
    os.unlink(off)
    assert site.status()["switches"]["updates"] is True
    site.run("off", "updates")
    assert os.path.exists(off)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_off_is_not_for_everybody(site):
    site.run("on", "telemetry")
    nobody = 65534
    with open(os.path.join(BUILD, "bin", "mainstay"), "rb") as program:  # wherever it lies, they may run it
        done = subprocess.run([f"/proc/self/fd/{program.fileno()}", "off", "telemetry", "--state", site.dir], capture_output=True,
                              text=True, timeout=60, pass_fds=[program.fileno()], user=nobody, group=nobody, extra_groups=[],
                              env=dict(os.environ, MAINSTAY_DEBUG="1"))
    with open(site.log_path, "a", encoding="utf-8") as log:
        log.write(done.stderr)
    assert done.returncode == 1 and "is for root" in done.stderr and "[wrong-role]" in done.stderr, done.stderr
    assert site.status()["switches"]["telemetry"] is True


@pytest.mark.flow
def test_off_works_while_the_monitor_hangs(site):
    site.run("on", "remote")
    pid = site.kill("monitor", signal.SIGSTOP)
    try:
        done = site.run("off", "remote")
        assert "does not answer" in done.stdout
        assert os.path.exists(os.path.join(site.dir, "etc", "off", "remote"))
    finally:
        os.kill(pid, signal.SIGCONT)
    until("the switch is off", lambda: not site.status()["switches"]["remote"])
    site.run("off", "remote")
    assert leaves(site, kind="switch", object="remote off")


@pytest.mark.flow
def test_a_killed_monitor_comes_back_and_remembers(site):
    site.run("on", "updates")
    before = site.status()
    pid = site.kill("monitor")
    site_up = lambda: site.run("status", code=None).returncode == 0 and site.pid("monitor") != pid
    until("another monitor", site_up)
    after = site.status()
    assert after["switches"]["updates"] is True
    assert after["appliance"]["epoch"] == before["appliance"]["epoch"]
    assert after["audit"]["size"] >= before["audit"]["size"]
    site.run("audit", "verify")
    site.run("off", "updates")


def test_a_second_run_is_refused(site):
    done = subprocess.run([os.path.join(BUILD, "bin", "mainstay"), "run", "--state", site.dir], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 1
    assert "conflict" in done.stderr or "busy" in done.stderr
    site.status()


def test_without_a_monitor_commands_say_so():
    alone = Site()
    try:
        error = alone.json("status", code=3)
        assert error["reason"] == "unreachable"
    finally:
        alone.down()


# --- policy --------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_a_policy_is_checked_compared_applied_and_explained(site):
    path = site.write("policy.yaml", f"""v: 1
approvers:
  - {{ name: olga, key: {KEY} }}
rules:
  - {{ services: redis, operations: [info], risk: observe, decision: allow }}
  - {{ operations: [restart], risk: change, decision: ask }}
  - {{ risk: destroy, decision: deny }}
""")
    site.run("policy", "check", path)
    assert any(line.startswith("+ approver olga") for line in site.json("policy", "diff", path)["changes"])
    site.run("policy", "apply", path)
    assert leaves(site, kind="policy")
    assert site.json("policy", "diff", path)["changes"] == []
    answers = {q: site.json("policy", "explain", q) for q in
               ("redis/info/observe", "redis/restart/change", "redis/flush/destroy", "etcd/info/observe")}
    assert [a["decision"] for a in answers.values()] == ["allow", "ask", "deny", "deny"]
    assert answers["redis/restart/change"]["rules"] == [2]
    assert answers["redis/restart/change"]["approvers"] == ["olga"]
    asked = site.json("policy", "explain", "--service", "redis", "--operation", "restart", "--risk", "change",
                      "--engineer", "ann")
    assert asked["matched"] == [{"number": 2, "decision": "ask",
                                 "text": "restart of risk change of any service, by any approver"}]
    assert asked["need"] == 1 and asked["permits"] == []
    own = os.path.join(site.dir, "etc", "policy.yaml")
    shutil.copy(path, own)
    os.chmod(own, 0o644)
    text = site.run("policy", "explain", "redis/restart/change").stdout
    assert f"{own}:6: rule 2, ask: restart" in text
    with open(own, "a") as f:
        f.write("  - { risk: session, decision: deny }\n")
    assert "is not what is in force" in site.run("policy", "explain", "redis/restart/change").stdout
    assert site.status()["policy"]["edited"] is True
    os.unlink(own)
    for wrong in (["explain"], ["explain", "--service", "redis"], ["explain", "redis/info/observe", "--at", "noon"]):
        assert site.json("policy", *wrong, code=2)["reason"] == "usage"


def test_a_wrong_policy_is_refused_with_its_place_and_nothing_changes(site):
    before = site.json("policy", "explain", "redis/info/observe")
    bad = site.write("bad.yaml", "v: 1\nrules:\n  - { risk: obzerve, decision: ask }\n")
    for command in ("check", "apply"):
        error = site.json("policy", command, bad, code=1)
        assert error["reason"] == "malformed"
        assert error["where"].endswith("bad.yaml:3:7")
        assert "observe" in error["text"]
    open_to_all = site.write("open.yaml", "v: 1\nrules: []\n", mode=0o666)
    assert site.json("policy", "apply", open_to_all, code=1)["reason"] == "wrong-role"
    assert site.json("policy", "explain", "redis/info/observe") == before


@pytest.mark.parametrize("typed, applied", [(b"y\n", True), (b"no\n", False), (b"\n", False), (b"\x04", False)],
                         ids=["yes", "no", "nothing", "end-of-file"])
def test_on_a_terminal_what_widens_is_asked_about(site, typed, applied):
    site.run("policy", "apply", site.write("narrow.yaml", "v: 1\nrules: []\n"))
    wide = site.write("wide.yaml", "v: 1\nrules:\n  - { operations: [info], decision: allow }\n")
    before = site.status()["policy"]["digest"]
    ours, theirs = pty.openpty()
    try:
        apply = subprocess.Popen([os.path.join(BUILD, "bin", "mainstay"), "policy", "apply", wide, "--state", site.dir],
                                 stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, start_new_session=True,
                                 env=dict(os.environ, MAINSTAY_DEBUG="1"))
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 4096)
        assert b"+ may run without asking: info of any service" in shown
        assert site.status()["policy"]["digest"] == before
        os.write(ours, typed)
        _, errors = apply.communicate(timeout=30)
    finally:
        os.close(ours)
        os.close(theirs)
    with open(site.log_path, "ab") as log:
        log.write(errors)
    assert apply.returncode == (0 if applied else 1), errors
    assert (b"[not-approved]" in errors) != applied
    assert (site.status()["policy"]["digest"] != before) == applied
    site.run("policy", "apply", site.write("narrow.yaml", "v: 1\nrules: []\n"))  # narrower: nobody is asked


def test_rules_that_leave_nobody_to_approve_are_warned_of(site):
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIcYZ0TqM1JIjAYGCeX3MTcVkJEvxBcP4ucnaEpHLx0"
    path = site.write("warned.yaml", f"""v: 1
approvers: [{{ name: olga, key: {KEY} }}, {{ name: omar, key: {other} }}]
rules:
  - {{ operations: restart, decision: ask, approvers: olga }}
  - {{ services: redis, decision: ask, approvers: omar }}
""")
    for words in (["check"], ["diff"], ["apply"]):
        assert "warning: rules 1 and 2 may ask about the same request" in site.run("policy", *words, path).stdout
    assert len(site.json("policy", "check", path)["warnings"]) == 1
    site.run("policy", "apply", site.write("narrow.yaml", "v: 1\nrules: []\n"))


def test_owners_must_sign_a_policy_once_there_are_any(site):
    keys = {}
    for name in ("ann", "bob", "eve"):
        path = os.path.join(site.top, name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        with open(f"{path}.pub") as f:
            keys[name] = " ".join(f.read().split()[:2])
    owned = f"v: 1\nowners: {{ k: 2, keys: [{keys['ann']}, {keys['bob']}] }}\nrules: []\n"
    site.run("policy", "apply", site.write("owned.yaml", owned))
    free = site.write("free.yaml", "v: 1\nrules: []\n")
    key = lambda *names: [a for n in names for a in ("--key", os.path.join(site.top, n))]
    assert site.json("policy", "apply", free, code=1)["reason"] == "not-approved"
    assert site.json("policy", "apply", free, *key("ann"), code=1)["reason"] == "threshold"
    assert site.json("policy", "apply", free, *key("ann", "eve"), code=1)["reason"] == "threshold"
    site.run("policy", "apply", free, *key("ann", "bob"))
    assert site.json("policy", "diff", free)["changes"] == []


# --- the log -------------------------------------------------------------------------------------------


def test_the_log_verifies_and_proves(site):
    head = site.json("audit", "head")
    assert site.json("audit", "verify")["root"] == head["root"]
    proof = os.path.join(site.top, "proof")
    site.run("audit", "prove", "0", "--out", proof)
    assert site.json("audit", "verify", proof)["n"] == 0
    with open(proof) as f:
        text = f.read()
    with open(proof, "w") as f:
        f.write(text.replace("index 0", "index 1"))
    site.json("audit", "verify", proof, code=1)
    assert site.json("audit", "prove", "999999", code=1)["reason"] == "not-found"


def test_a_changed_log_is_found(site):
    records = os.path.join(site.dir, "lib", "audit", "records", "000")
    with open(records, "r+b") as f:
        whole = f.read()
        at = whole.index(b"telemetry on")
        f.seek(at)
        f.write(b"telemetry of")
    try:
        found = site.json("audit", "verify", code=1)
        assert found["reason"] == "altered" and found["operand"].startswith("audit entry ")
    finally:
        with open(records, "r+b") as f:
            f.seek(at)
            f.write(b"telemetry on")
    site.run("audit", "verify")


def test_the_log_is_held_against_what_was_kept(site, tmp_path):
    log, copy, head = os.path.join(site.dir, "lib", "audit"), str(tmp_path / "copy"), str(tmp_path / "head")
    size = site.json("audit", "head")["size"]
    shutil.copytree(log, copy)
    shutil.copy(os.path.join(copy, "checkpoint"), head)
    site.run("off", "telemetry")
    site.run("on", "telemetry")
    for kept in (copy, head):
        assert f"the first {size} entries are those" in site.run("audit", "verify", "--against", kept).stdout
    os.rename(os.path.join(copy, "checkpoint"), os.path.join(copy, "old"))
    assert site.json("audit", "verify", "--against", copy, code=1)["reason"] == "unsigned"
    with open(head, "r+b") as f:
        f.write(b"x")
    assert site.json("audit", "verify", "--against", head, code=1)["reason"] in ("bad-signature", "unknown-key")


def test_erased_records_are_gone_and_the_log_verifies(site):
    before = site.json("audit", "head")["size"]
    done = site.json("audit", "erase", "--from", "0", "--to", "0", "--reason", "asked for")
    assert (done["erased"], done["entry"]) == (1, before)
    assert site.json("audit", "verify")["erased"] == 1
    assert site.json("audit", "erase", "--from", "0", "--to", "0", "--reason", "again", code=1)["reason"] == "not-found"
    none = site.json("audit", "erase", "--from", "0", "--to", "x", "--reason", "again", "--out", "statement", code=2)
    assert none["reason"] == "usage"
    assert not os.path.exists("statement")
    assert 0 not in [i["n"] for i in site.json("audit", "log")["items"]]


def doctor(site, *argv):
    """Its lines by check, and whether it ended well."""
    done = site.run("doctor", "--json", *argv, code=None)
    return {i["check"]: i for i in json.loads(done.stdout.splitlines()[0])["items"]}, done.returncode == 0


def test_doctor_has_a_line_per_check(site):
    found, good = doctor(site)
    assert set(found) >= {"monitor", "clock", "collectd", "courier", "services", "policy", "core", "disk", "files", "keys",
                          "tools", "namespaces", "cgroups", "separate-uids", "netns", "ca", "proxy-set", "hub"}
    assert good == all(i["ok"] for i in found.values())
    assert all(i["remedy"] or i["ok"] for i in found.values())
    assert found["monitor"]["ok"] and found["namespaces"]["text"] == "a program ran in a sandbox like a service's"
    # Tests before this one may have applied a policy, of nobody's.
    assert found["policy"]["text"] in ("default, 0 who may approve", "applied, 0 who may approve")
    assert "mainstay policy apply" in found["policy"]["remedy"]
    assert found["hub"]["text"] == "not enrolled: no hub to reach"
    text = site.run("doctor", code=None).stdout
    assert re.search(r"^monitor +ok +answers$", text, re.M) and re.search(r"^hub +note ", text, re.M)


class Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_doctor_says_at_which_step_the_way_ends(site, tmp_path):
    authority, trusted = Authority(str(tmp_path)), os.path.join(site.dir, "etc", "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.cert, authority.key)
    server = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = os.path.join(site.dir, "etc", "proxy")

    def ends(url, step, remedy, before):
        found, good = doctor(site, "--hub", url)
        assert not good and not found[step]["ok"] and remedy in found[step]["remedy"], (url, found)
        assert [s for s in ("proxy", "dns", "tcp", "tls") if s in found and found[s]["ok"]] == before
        return found

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = nobody.getsockname()[1]
        try:
            ends("http://127.0.0.1", "hub", "https://HOST:PORT", [])
            ends("https://nosuch.invalid", "dns", "DNS on this host", [])
            ends(f"https://127.0.0.1:{closed}", "tcp", "firewall", ["dns"])
            ends(f"https://127.0.0.1:{server.server_port}", "tls", "CA", ["dns", "tcp"])
            shutil.copy(authority.ca, trusted)
            found = ends(f"https://127.0.0.1:{server.server_port}", "hub", "in its place", ["dns", "tcp", "tls"])
            assert "answered 404" in found["hub"]["text"]
            with open(proxy, "w") as f:
                f.write(f"http://ann:secret@127.0.0.1:{closed}\n")
            found = ends("https://hub.invalid", "proxy", "the proxy's address", [])
            assert found["proxy-set"]["text"] == f"by way of http://127.0.0.1:{closed}" and "dns" not in found
            with open(proxy, "w") as f:
                f.write("nonsense\n")
            ends("https://hub.invalid", "proxy-set", "write etc/proxy anew", [])
        finally:
            for file in (proxy, trusted):
                if os.path.exists(file):
                    os.unlink(file)
            server.shutdown()
            server.server_close()


def test_doctor_sees_what_was_broken(site):
    ca, keys = os.path.join(site.dir, "etc", "ca.pem"), os.path.join(site.dir, "lib", "monitor")
    with open(ca, "w") as f:
        f.write("no certificate\n")
    os.chmod(keys, 0o755)
    try:
        found, good = doctor(site)
        assert not good and "0 certificates" in found["ca"]["text"] and "mainstay enrol --ca" in found["ca"]["remedy"]
        assert not found["keys"]["ok"] and "chmod 0700" in found["keys"]["remedy"]
    finally:
        os.chmod(keys, 0o700)
        os.unlink(ca)
    assert doctor(site)[0]["ca"]["ok"]


def state(site):
    """What a refused command may not change."""
    found = {}
    for folder in ("etc", "lib/monitor"):
        for where, _, names in os.walk(os.path.join(site.dir, folder)):
            for name in names:
                with open(os.path.join(where, name), "rb") as f:
                    found[os.path.join(where, name)] = f.read()
    return found, site.status()["audit"]["size"]


REFUSED = [
    ("a switch that is none", 2, "usage", ["off", "everything"]),
    ("a time that is none", 2, "usage", ["audit", "log", "--since", "yesterday"]),
    ("a kind that is none", 2, "usage", ["audit", "log", "--kind", "gossip"]),
    ("a proof to nowhere", 1, "not-found", ["audit", "prove", "0", "--out", "/nowhere/proof"]),
    ("a proof of no entry", 2, "usage", ["audit", "prove", "first"]),
    ("a policy that is not there", 1, "not-found", ["policy", "diff", "/nowhere/policy.yaml"]),
    ("the log of a path", 2, "usage", ["service", "logs", "../redis"]),
    ("the log of no service", 1, "not-found", ["service", "logs", "redis"]),
    ("so many lines", 2, "usage", ["service", "logs", "redis", "--lines", "many"]),
    ("a knob of no service", 1, "not-found", ["service", "set", "redis", "a=b"]),
    ("a field that is none", 2, "usage", ["telemetry", "accept", "no field"]),
    ("leaving nobody", 1, "not-found", ["leave"]),
]


@pytest.mark.parametrize("name, code, reason, argv", REFUSED, ids=[r[0] for r in REFUSED])
def test_a_refused_command_changes_nothing(site, name, code, reason, argv):
    site.run("off", "all")
    before = state(site)
    done = site.run(*argv, code=code)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("mainstay: ") and last.endswith(f"[{reason}]"), done.stderr
    error = site.json(*argv, code=code)
    assert error["kind"] == "Error" and error["reason"] == reason and error["text"]
    assert state(site) == before


def test_what_the_manual_is_made_of(site):
    assert "status" in site.run("__manual", "words").stdout.split()
    assert "words, summary, options or commands" in site.run("__manual", "nothing", code=2).stderr


def test_doctor_says_no_where_something_is_wrong():
    alone = Site()
    try:
        done = alone.run("doctor", code=1)
        assert done.stderr.splitlines()[-1].endswith("[conflict]")
        assert "mainstay run" in done.stdout
    finally:
        alone.down()


def test_a_pipe_in_a_log_s_place_holds_nobody(site):
    """The service owns the folder of its log."""
    folder = os.path.join(site.dir, "lib", "services", "odd", "log")
    os.makedirs(folder)
    for make in (lambda name: os.mkfifo(name), lambda name: os.symlink("/etc/passwd", name)):
        file = os.path.join(folder, "odd.log")
        make(file)
        argv = [os.path.join(BUILD, "bin", "mainstay"), "service", "logs", "odd", "--state", site.dir]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
        assert done.returncode == 1 and done.stderr.endswith("[not-found]\n") and not done.stdout
        os.unlink(file)


def test_services_that_are_not_there(site):
    assert site.json("service", "list")["items"] == []
    assert site.json("service", "start", "redis", code=1)["reason"] == "not-found"
    assert site.json("service", "logs", "redis", code=1)["reason"] == "not-found"
