"""One operation, from the engineer's desk to the customer's Redis and back; and all the ways in which it is refused."""

import base64
import copy
import glob
import hashlib
import json
import re
import os
import random
import secrets
import signal
import statistics
import subprocess
import time

import pytest

from authenticator import PRESENT, SK_ED25519, SK_P256, Agent, Key
from estate import APPROVER, BIN, CUSTOMER, ENGINEER, SITE, Estate, until
from hub import Key as DaemonKey, canonical, now

POLICY = """v: 1
approvers:
  - {{name: olga, key: "{key}"}}
rules:
  - {{services: [redis], operations: [info, ping], decision: allow}}
  - {{services: [redis], operations: [memory-doctor], decision: ask}}
  - {{services: [unruly], operations: [forks, floods, grows], decision: allow}}
  - {{services: [redis], risk: [change], decision: ask}}
"""
UNRULY = """name: unruly
version: "1.0"
payload: {programs: [/bin/dash, /bin/sleep]}
exec: [/usr/bin/sleep, "1000000"]
stop: {grace: 200ms}
health: {type: exec, argv: [/usr/bin/sleep, "0"], soak: 300ms}
operations:
  forks: {argv: [/usr/bin/dash, -c, "f() ( f | f & ); f; while :; do :; done"], risk: observe, timeout: 2s}
  floods: {argv: [/usr/bin/dash, -c, "while :; do echo 0123456789; done"], risk: observe, timeout: 2s, output: 64kb}
  grows: {argv: [/usr/bin/dash, -c, "x=xxxx; while :; do x=$x$x; done"], risk: observe, timeout: 9s, memory: 32mb}
"""
RUN = ("--reason", "slow reads", "--ticket", "C-17")


@pytest.fixture(scope="module", name="estate")
def an_estate():
    with Estate("operation") as e:
        e.begin()
        e.policy(POLICY)
        os.mkdir(e.path("unruly"))
        with open(e.path("unruly", "service.yaml"), "w") as f:
            f.write(UNRULY)
        e.publish(e.path("unruly"))
        e.install_redis()
        e.engineer("mallory", "support", "other-customer")
        e.ssh_key("stranger")
        yield e


# --- making requests by hand, as another implementation would --------------------------------------------------------


def opened(envelope):
    return json.loads(base64.b64decode(envelope["payload"]), strict=False)


def seal(estate, payload, key=ENGINEER, namespace="request"):
    data = canonical(payload)
    done = subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", f"{namespace}@mainstay", "-f", estate.path(key)],
                          input=data, capture_output=True, check=True)
    blob = "".join(done.stdout.decode().split("\n")[1:-2])
    with open(estate.path(f"{key}.pub")) as f:
        keyid = hashlib.sha256(base64.b64decode(f.read().split()[1])).hexdigest()
    return {"payload": base64.b64encode(data).decode(), "sigs": [{"keyid": keyid, "sig": blob}]}


def good(estate, **changes):
    def installed():
        said = estate.desk_json("show", SITE)["statement"]
        return said if any(s["name"] == "redis" and s["release"] for s in said["services"]) else None

    statement = until("the hub has heard which release runs", installed)
    release = next(s["release"] for s in statement["services"] if s["name"] == "redis")
    with open(estate.path("site", "lib", "store", f"{release}.definition.json"), "rb") as f:
        definition = "sha256:" + hashlib.sha256(f.read()).hexdigest()
    payload = {"v": 1, "id": "r-" + secrets.token_hex(8), "site": SITE, "customer": CUSTOMER, "service": "redis",
               "instance": "redis", "operation": "ping", "args": {}, "definition": definition, "reason": "test",
               "ticket": "C-1", "engineer": ENGINEER, "people_version": 1, "epoch": statement["epoch"],
               "not_before": now(-60), "expires": now(3600), "nonce": secrets.token_hex(16)}
    payload.update(changes)
    return payload


def import_(estate, envelope, code=0):
    with open(estate.path("request.json"), "w") as f:
        json.dump(envelope, f)
    return estate.mainstay("requests", "import", estate.path("request.json"), code=code)


def kinds(estate, request):
    return [i["kind"] for i in estate.leaves(object=request)]


def run_later(estate, *operation):
    """A desk that waits; the request that it made, once it waits on site."""
    asked = estate.desk_later("run", SITE, "redis", *operation, *RUN, "--wait", "60s")
    waiting = until("a request that waits", lambda: estate.requests(state="waiting"))[0]
    return asked, waiting["id"]


def finish(asked):
    out, err = asked.communicate(timeout=90)
    return asked.returncode, out, err


# --- the main way ----------------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_allowed_operation_runs_at_once(estate):
    answer = estate.desk_json("run", SITE, "redis", "ping", *RUN, "--wait", "60s")
    assert answer["kind"] == "Result" and answer["outcome"] == "ok"
    assert answer["stdout"] == "PONG\n" and answer["exit_status"] == 0
    assert answer["decision"] == "allow"
    assert kinds(estate, answer["id"]) == ["request", "start", "end"]
    assert {i["actor"] for i in estate.leaves(object=answer["id"])} == {ENGINEER}
    shown = estate.mainstay_json("requests", "show", answer["id"])
    assert shown["state"] == "done" and shown["result"]["stdout"] == "PONG\n"


@pytest.mark.flow
def test_what_it_wrote_is_recorded_and_any_player_of_such_plays_it(estate):
    request = estate.desk_json("run", SITE, "redis", "info", "section=memory", *RUN, "--wait", "60s")["id"]
    shown = estate.mainstay("replay", request, "--dump")
    assert shown.stdout.startswith("# Memory\n") and shown.stderr == "end: ok\n"
    row = next(i for i in estate.mainstay_json("replay", "list")["items"] if i["id"] == request)
    assert row["title"] == "redis info" and row["state"] == "closed"
    file = estate.path("site", "lib", "monitor", "recordings", request + ".cast")
    assert os.stat(file).st_mode & 0o777 == 0o600 and os.stat(file).st_size == row["bytes"]
    # As a file, too; cut by a crash; and by another program.
    cut = estate.path("cut.cast")
    with open(file, "rb") as f, open(cut, "wb") as g:
        g.write(b"".join(f.readlines()[:2]))
    assert estate.mainstay("replay", cut, "--speed", "100").stdout == shown.stdout
    assert "[not-found]" in estate.mainstay("replay", "r-none", code=1).stderr
    assert "[malformed]" in estate.mainstay("replay", "/dev/null", code=1).stderr
    assert "[usage]" in estate.mainstay("replay", request, "--speed", "0", code=2).stderr
    for cast in (file, cut):
        # It wants a terminal of its own.
        played = subprocess.run(["script", "-qec", f"asciinema cat {cast}", "/dev/null"], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=20, check=True, env={**os.environ, "LANG": "C.UTF-8"})
        assert played.stdout.decode().replace("\r", "") == shown.stdout


@pytest.mark.flow
def test_arguments_reach_the_program_and_nothing_else(estate):
    answer = estate.desk_json("run", SITE, "redis", "info", "section=memory", *RUN, "--wait", "60s")
    assert "used_memory:" in answer["stdout"] and "# Server" not in answer["stdout"]
    assert "section = 'memory'" in answer["plan"]["text"]
    for words, reason in ((["section=; flushall"], "malformed"), (["file=/etc/passwd"], "usage"),
                          (["section"], "usage"), (["section=all", "section=cpu"], "usage")):
        refused = estate.desk("run", SITE, "redis", "info", *words, *RUN, code=None)
        assert refused.returncode in (1, 2) and f"[{reason}]" in refused.stderr
        assert "it has section" in refused.stderr or words != ["file=/etc/passwd"]


@pytest.mark.flow
def test_asked_operation_waits_for_the_approver(estate):
    asked, request = run_later(estate, "memory-doctor")
    assert "start" not in kinds(estate, request)
    assert any(p["id"] == request for p in estate.status()["pending"])
    assert f"request {request}: redis memory-doctor, asked for by" in estate.mainstay("status").stdout
    assert f"mainstay requests approve {request} " in estate.mainstay("requests", "show", request).stdout
    plan = estate.mainstay_json("requests", "show", request)["plan_text"]
    assert "'MEMORY' 'DOCTOR'" in plan and "observe: " in plan
    # Neither an engineer nor a stranger approves.
    for key in (ENGINEER, "stranger"):
        assert "[unknown-key]" in estate.approve(request, key=key, code=1).stderr
    assert kinds(estate, request) == ["request"]
    estate.approve(request)
    code, out, err = finish(asked)
    assert code == 0, err
    assert json.loads(out)["outcome"] == "ok"
    assert kinds(estate, request) == ["request", "permit", "start", "end"]
    assert estate.leaves(object=request, kind="permit")[0]["actor"] == APPROVER


@pytest.mark.flow
def test_restart_is_awaited_until_it_is_healthy(estate):
    before = estate.shim()["pid"]
    asked, request = run_later(estate, "restart")
    estate.approve(request)
    code, out, err = finish(asked)
    assert code == 0, err
    assert "running, health passing" in json.loads(out)["stdout"]
    assert estate.redis("ping") == "PONG" and estate.shim()["pid"] != before
    assert kinds(estate, request) == ["request", "permit", "start", "end"]


@pytest.mark.flow
def test_permit_crosses_as_a_file_and_counts_once(estate):
    asked, request = run_later(estate, "memory-doctor")
    file = estate.path("permit.txt")
    estate.mainstay("requests", "show", request, "--out", file, "--approver", APPROVER)
    estate.run("ssh-keygen", "-q", "-Y", "sign", "-n", "permit@mainstay", "-f", estate.path(APPROVER), file)
    # A signature over one more letter, a cut text, the signature of another: each is refused, nothing starts.
    with open(file) as f:
        text = f.read()
    for changed, reason in ((text.replace("DOCTOR", "PURGEE"), "altered"), (text[:-1], "malformed"),
                            (text.replace('"uses":1', '"uses":2'), "bad-signature")):
        with open(estate.path("other.txt"), "w") as f:
            f.write(changed)
        with open(file + ".sig") as f, open(estate.path("other.txt.sig"), "w") as g:
            g.write(f.read())
        refused = estate.mainstay("requests", "approve", request, "--permit", estate.path("other.txt"), code=1)
        assert f"[{reason}]" in refused.stderr
        # Who asks the customer later sees which bytes were brought, and why they counted for nothing.
        leaf = estate.leaves(object=request)[-1]
        assert (leaf["kind"], leaf["reason"]) == ("refuse", reason)
        assert leaf["digest"] == "sha256:" + hashlib.sha256(changed.encode()).hexdigest()
    assert kinds(estate, request) == ["request"] + 3 * ["refuse"]
    estate.mainstay("requests", "approve", request, "--permit", file)
    assert finish(asked)[0] == 0
    assert "[replayed]" in estate.mainstay("requests", "approve", request, "--permit", file, code=1).stderr
    assert kinds(estate, request)[4:] == ["permit", "start", "end", "refuse"]


@pytest.mark.flow
def test_denied_by_the_customer(estate):
    asked, request = run_later(estate, "memory-doctor")
    estate.mainstay("requests", "deny", request, "--reason", "not before Monday")
    code, out, err = finish(asked)
    assert code == 1 and json.loads(out.splitlines()[0])["reason"] == "denied"
    assert "not before Monday" in err + out
    assert kinds(estate, request) == ["request", "deny"]


@pytest.mark.flow
def test_accepted_but_not_finished(estate):
    done = estate.desk("run", SITE, "redis", "memory-doctor", *RUN, "--wait", "1s", "--json", code=5)
    request = json.loads(done.stdout)["id"]
    until("it waits", lambda: estate.requests(id=request, state="waiting"))
    row = until("the site says so", lambda: next((r for r in estate.desk_json("requests")["items"]
                                                  if r["id"] == request and r["signed"]), None))
    assert row["state"] == "waiting" and row["since"] and row["signed"]
    # The site's own signed word, wherever it is shown.
    assert row["for"].startswith(f"waits for one of: {APPROVER}; since ") and "; expires " in row["for"]
    assert f"{row['for']} (the site signed that" in estate.desk("requests", request, code=5).stdout
    assert estate.desk_json("requests", request, code=5)["said"]["text"] == row["for"]
    # One screen: what runs in which version, what waits since when and for whom, what changed.
    shown = estate.desk("show", SITE).stdout
    line = next(line for line in shown.splitlines() if request in line)
    assert "redis  memory-doctor  vera  waiting" in line and row["since"][:16] in line and row["for"] in line
    assert re.search(r"redis  7\.\S+  stable  (up|not told)", shown) and re.search(r"clock [+-]\d+ ms", shown)
    assert "installed" in shown[shown.index("last changes"):]
    assert [r["id"] for r in estate.desk_json("show", SITE)["requests"]] == [request]
    estate.mainstay("requests", "deny", request, "--reason", "test is over")


@pytest.mark.flow
def test_the_site_plans_and_nothing_runs(estate):
    before = len(estate.leaves(kind="start"))
    shown = estate.desk_json("run", SITE, "redis", "restart", *RUN, "--plan", "--wait", "20s")
    assert shown["kind"] == "Plan" and "operation     restart" in shown["plan"]["text"]
    assert len(estate.leaves(kind="start")) == before and not estate.requests(state="waiting")
    # It is found again, as what it was.
    said = estate.desk("requests", shown["id"]).stdout
    assert "nothing was run" in said and "operation     restart" in said
    row = next(l for l in estate.mainstay("requests", "list").stdout.splitlines() if shown["id"] in l)
    assert "plan only" in row


@pytest.mark.flow
def test_an_engineer_takes_back_what_waits(estate):
    done = estate.desk("run", SITE, "redis", "memory-doctor", *RUN, "--wait", "1s", "--json", code=5)
    request = json.loads(done.stdout)["id"]
    until("it waits", lambda: estate.requests(id=request, state="waiting"))
    ended = estate.desk("cancel", request, "--reason", "the wrong site", "--wait", "20s")
    said = ended.stdout
    assert ended.stderr.endswith("taken back by vera: the wrong site\n")
    listed = next(i for i in estate.desk_json("requests")["items"] if i["id"] == request)
    assert (listed["state"], listed["outcome"]) in (("done", "refused"), ("done", "cancelled"))
    assert "ended at the site before it ran" in said or "stopped at the site" in said
    assert "not recorded" not in said  # whoever cancels has seen the plan
    assert not estate.requests(state="waiting") and estate.leaves(kind="cancel", object=request)
    assert "[conflict]" in estate.desk("cancel", request, "--reason", "again", code=1).stderr


@pytest.mark.flow
def test_taken_back_by_file(estate):
    """The hub knows neither what was asked nor that it was taken back."""
    asked, cancel, answered = (estate.path(name) for name in ("asked.json", "cancel.json", "cancelled.json"))
    estate.desk("run", SITE, "redis", "ping", *RUN)  # so that the site knows the newest people
    name = estate.desk_json("request", SITE, "redis", "restart", *RUN, "--file", asked)["id"]
    estate.mainstay("requests", "import", asked)
    until("it waits", lambda: estate.requests(id=name, state="waiting"))
    why = ("--reason", "not any more")
    for words, reason in ((("--file", cancel, "--wait", "5s"), "usage"), (("--of", asked), "usage"),
                          (("--file", cancel), "not-found"), (("--file", cancel, "--of", answered), None)):
        said = estate.desk("cancel", name, *why, *words, code=None)
        assert said.returncode and (reason is None or f"[{reason}]" in said.stderr) and not os.path.exists(cancel), words
    assert "[altered]" in estate.desk("cancel", "r-other", *why, "--file", cancel, "--of", asked, code=1).stderr
    assert "requests import" in estate.desk("cancel", name, *why, "--file", cancel, "--of", asked).stdout
    estate.mainstay("requests", "import", cancel)
    assert kinds(estate, name) == ["request", "cancel", "refuse"]
    assert estate.mainstay_json("requests", "show", name)["reason"] == "revoked"
    estate.mainstay("results", "export", name, "--out", answered)
    assert "[revoked]" in estate.desk("import", answered, code=1).stderr


@pytest.mark.flow
def test_by_file_both_ways(estate):
    """A request and its result cross by hand, and are verified as if they had not."""
    asked, answered = estate.path("request.json"), estate.path("results.json")
    estate.desk("run", SITE, "redis", "ping", *RUN)  # so that the site knows the newest people
    order = ("request", SITE, "redis", "ping", *RUN, "--file", asked)
    assert "[usage]" in estate.desk(*order, "--for", "15d", code=2).stderr
    name = estate.desk_json(*order, "--for", "13d")["id"]
    estate.mainstay("requests", "import", asked)
    until("it is done", lambda: estate.requests(id=name, state="done"))
    assert "[not-found]" in estate.mainstay("results", "export", "r-none", "--out", answered, code=1).stderr
    assert "[usage]" in estate.mainstay("results", "export", name, "--ticket", "t", "--out", answered, code=2).stderr
    assert "[usage]" in estate.mainstay("results", "export", "a,b", "--out", answered, code=2).stderr
    assert estate.mainstay_json("results", "export", name, "--out", answered)["requests"] == 1
    done = estate.desk("import", answered)
    assert "PONG" in done.stdout and "ok in" in done.stdout and "(signed)" in done.stdout
    with open(answered) as f:
        good = json.load(f)

    def refused(reason, *words, **change):
        with open(estate.path("altered"), "w") as f:
            json.dump({**good, **change}, f)
        said = estate.desk("import", estate.path("altered"), *words, code=1)
        assert f"[{reason}]" in said.stderr and "PONG" not in said.stdout, said.stderr

    item = good["items"][0]
    refused("malformed", v=0)
    refused("not-found", "r-none")
    refused("unknown-key", items=[dict(item, result=DaemonKey().seal("result", opened(item["result"])))])
    refused("bad-signature", items=[dict(item, result=dict(good["statement"]))])
    refused("altered", items=[dict(item, id="r-other")])
    refused("unknown-key", statement=DaemonKey().seal("statement", opened(good["statement"])))
    refused("bad-signature", items=[dict(item, request=dict(item["request"], payload=item["result"]["payload"]))])
    # Two are a list.
    estate.mainstay("results", "export", "--out", answered)
    with open(answered) as f:
        newer = json.load(f)
    newer["items"] = [item, item]
    with open(answered, "w") as f:
        json.dump(newer, f)
    assert [r["outcome"] for r in estate.desk_json("import", answered)["items"]] == ["ok", "ok"]
    assert "operation     ping" not in estate.desk("import", answered).stdout  # a list shows no plans
    whole = estate.desk("import", answered, name).stdout
    assert "PONG" in whole and "operation     ping" in whole


@pytest.mark.flow
def test_a_plan_sends_nothing(estate):
    before = len(estate.desk_json("requests")["items"])
    shown = estate.desk_json("run", SITE, "redis", "restart", *RUN, "--offline")
    assert shown["kind"] == "Preview" and shown["verb"] == "restart"
    assert len(estate.desk_json("requests")["items"]) == before


@pytest.mark.flow
def test_what_can_be_asked(estate):
    listed = json.loads(estate.desk("operations", SITE, "--json").stdout)["items"]
    count = next(i for i in listed if (i["service"], i["operation"]) == ("redis", "slowlog"))
    assert (count["risk"], count["arguments"]) == ("observe", "[count=V]")
    assert {i["operation"]: i["risk"] for i in listed}["restart"] == "change"
    one = estate.desk("operations", SITE, "redis", "slowlog").stdout
    assert re.search(r"argument   count: .*\n +type int\n +from 1\n +to 128\n +where it is left out: 10\n", one)
    assert "SLOWLOG" in one and "{count}" in one
    for words, reason in ((["nosuch"], "states no release of it"), (["reddis"], 'did you mean "redis"?'),
                          (["redis", "slowlgo"], 'did you mean "slowlog"?')):
        said = estate.desk("operations", SITE, *words, code=1).stderr
        assert reason in said and "[not-found]" in said


def test_usage(estate):
    asked, request = run_later(estate, "memory-doctor")
    for words in (["show", request, "--out", estate.path("x")],
                  ["show", request, "--out", "/nowhere/x", "--approver", APPROVER],
                  ["approve", request, "--permit", "x" * 4094],
                  ["approve", request, "--permit", "x", "--key", estate.path(APPROVER)],
                  ["narrow", request, "--timeout", "soon"], ["narrow", request, "--memory", "much"]):
        done = estate.mainstay("requests", *words, code=None)
        assert done.returncode in (1, 2) and ("[usage]" in done.stderr or "[not-found]" in done.stderr)
    assert "[not-found]" in estate.desk("run", SITE, "redis", "nope", *RUN, code=1).stderr
    estate.mainstay("requests", "deny", request, "--reason", "test is over")
    finish(asked)


# --- refused ---------------------------------------------------------------------------------------------------------


def refusals():
    """(name, changes to the payload, who signs, changes to the envelope, the reason)"""
    return [
        ("another site", {"site": "site2"}, ENGINEER, None, "wrong-addressee"),
        ("another customer", {"customer": "other-customer"}, ENGINEER, None, "wrong-addressee"),
        ("over", {"not_before": now(-7200), "expires": now(-3600)}, ENGINEER, None, "expired"),
        ("not begun", {"not_before": now(600)}, ENGINEER, None, "not-yet-valid"),
        ("15 days long", {"expires": now(15 * 86400)}, ENGINEER, None, "malformed"),
        ("another definition", {"definition": "sha256:" + "ab" * 32}, ENGINEER, None, "altered"),
        ("no such operation", {"operation": "shell"}, ENGINEER, None, "not-found"),
        ("no such service", {"service": "nginx", "instance": "nginx"}, ENGINEER, None, "not-found"),
        ("an argument too many", {"args": {"x": "y"}}, ENGINEER, None, "unknown-field"),
        ("a member too many", {"sudo": True}, ENGINEER, None, "unknown-field"),
        ("an id that is a path", {"id": "../../x"}, ENGINEER, None, "malformed"),
        ("newer people", {"people_version": 999}, ENGINEER, None, "stale-people"),
        ("another's name", {"engineer": "mallory"}, ENGINEER, None, "unknown-key"),
        ("a stranger", {}, "stranger", None, "unknown-key"),
        ("an approver", {}, APPROVER, None, "unknown-key"),
        ("unsigned", {}, ENGINEER, lambda e: e.update(sigs=[]), "unsigned"),
        ("a signature cut", {}, ENGINEER,
         lambda e: e["sigs"][0].update(sig=e["sigs"][0]["sig"][:-8]), "malformed"),
        ("other bytes", {}, ENGINEER,
         lambda e: e.update(payload=base64.b64encode(
             base64.b64decode(e["payload"]).replace(b'"ping"', b'"stop"')).decode()), "bad-signature"),
        ("an envelope with more", {}, ENGINEER, lambda e: e.update(more=1), "unknown-field"),
    ]


@pytest.mark.flow
@pytest.mark.parametrize("case", refusals(), ids=lambda c: c[0].replace(" ", "-"))
def test_refused(estate, case):
    _, changes, key, spoil, reason = case
    starts, pid = len(estate.leaves(kind="start")), estate.shim()["pid"]
    before = len(estate.leaves(kind="refuse", reason=reason))
    envelope = seal(estate, good(estate, **changes), key)
    if spoil:
        spoil(envelope)
    done = import_(estate, envelope, code=1)
    assert f"[{reason}]" in done.stderr
    assert len(estate.leaves(kind="refuse", reason=reason)) == before + 1
    assert len(estate.leaves(kind="start")) == starts and estate.shim()["pid"] == pid


@pytest.mark.flow
def test_a_login_is_no_request(estate):
    done = import_(estate, seal(estate, good(estate), namespace="login"), code=1)
    assert "[bad-signature]" in done.stderr


@pytest.mark.flow
def test_a_file_crosses_the_air_gap_once(estate):
    envelope = seal(estate, good(estate, operation="ping"))
    request = json.loads(base64.b64decode(envelope["payload"]))["id"]
    import_(estate, envelope)
    shown = until("done", lambda: (lambda r: r["state"] == "done" and r)(
        estate.mainstay_json("requests", "show", request)))
    assert shown["result"]["outcome"] == "ok" and "result" in shown["envelopes"]
    # The same again, and another id under the same nonce.
    assert "[replayed]" in import_(estate, envelope, code=1).stderr
    again = copy.deepcopy(json.loads(base64.b64decode(envelope["payload"])))
    again["id"] = "r-again"
    assert "[replayed]" in import_(estate, seal(estate, again), code=1).stderr
    assert kinds(estate, request).count("start") == 1


@pytest.mark.flow
def test_a_dry_run_before_the_plan_and_before_the_run(estate):
    def in_state(request, state):
        return until(state, lambda: (lambda r: r["state"] == state and r)(
            estate.mainstay_json("requests", "show", request)))

    # In the namespace of dry runs: the plan, with what Redis itself said in the sandbox, and nothing more.
    payload = good(estate, operation="bgsave")
    import_(estate, seal(estate, payload, namespace="dry-run"))
    shown = in_state(payload["id"], "done")
    assert shown["plan"]["targets"][1:] == ["dbfilename", "dump.rdb"]
    assert kinds(estate, payload["id"]) == ["request", "end"]
    # To run: narrowed, approved, tried again, run, and its service is well after it.
    asked, request = run_later(estate, "bgsave")
    assert "would touch   dump.rdb\n" in in_state(request, "waiting")["plan_text"]
    narrowed = estate.mainstay_json("requests", "narrow", request, "--timeout", "9s", "--memory", "48mb")
    assert narrowed["plan"]["limits"]["timeout_ms"] == 9000 and narrowed["state"] == "waiting"
    assert narrowed["plan_number"] == 2
    assert "more than" in estate.mainstay("requests", "narrow", request, "--timeout", "10s", code=1).stderr
    # Its engineer is told by the site which plan it is, by whom, and what is left.
    by = estate.leaves(object=request, kind="deny")[0]["actor"]
    told = until("told", lambda: (lambda said: said if f": plan 2: {by} lowered its limits to 9.000 s, " in said else None)(
        estate.desk("requests", request, code=5).stdout))
    assert "limits        9.000 s, 48 MiB of memory" in told
    estate.mainstay("requests", "approve", request, "--key", estate.path(APPROVER))
    assert finish(asked)[0] == 0
    assert in_state(request, "done")["result"]["outcome"] == "ok"
    assert kinds(estate, request) == ["request", "deny", "permit", "start", "end"]
    # Taken back while it waits.
    payload = good(estate, operation="restart")
    import_(estate, seal(estate, payload))
    in_state(payload["id"], "waiting")
    digest = "sha256:" + hashlib.sha256(canonical(payload)).hexdigest()
    import_(estate, seal(estate, {"v": 1, "request": digest, "id": payload["id"], "engineer": ENGINEER,
                                  "reason": "wrong service", "time": now()}, namespace="cancel"))
    assert in_state(payload["id"], "refused")["reason"] == "revoked"
    assert kinds(estate, payload["id"]) == ["request", "cancel", "refuse"]


@pytest.mark.flow
def test_engineer_of_another_customer(estate):
    # The site learns of mallory with the next people document; until then the key is nobody's.
    until("people with mallory", lambda: "[wrong-role]" in import_(
        estate, seal(estate, good(estate, engineer="mallory"), "mallory"), code=1).stderr, timeout=60)


@pytest.mark.flow
def test_a_new_engineer_need_not_wait_for_the_site(estate):
    estate.engineer("nina", "support")
    estate.desk("login", key="nina")
    answer = estate.desk_json("run", SITE, "redis", "ping", *RUN, "--wait", "60s", key="nina")
    assert answer["outcome"] == "ok"
    assert estate.leaves(object=answer["id"], kind="start")[0]["actor"] == "nina"


# --- switches and crashes --------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_off_refuses_what_waits_and_what_comes(estate):
    asked, request = run_later(estate, "memory-doctor")
    estate.mainstay("off", "remote")
    try:
        until("refused", lambda: estate.requests(id=request, state="refused", reason="switched-off"))
        assert "[switched-off]" in import_(estate, seal(estate, good(estate)), code=1).stderr
    finally:
        estate.mainstay("on", "remote")
    # What was decided meanwhile is told once it may be.
    code, _, err = finish(asked)
    assert code == 1 and "switched-off" in err
    assert "start" not in kinds(estate, request)


@pytest.mark.flow
def test_waiting_survives_a_crash_of_the_monitor(estate):
    asked, request = run_later(estate, "memory-doctor")
    os.kill(estate.pids("mainstayd")[0], signal.SIGKILL)
    until("the monitor again", lambda: estate.requests(id=request, state="waiting"))
    estate.approve(request)
    assert finish(asked)[0] == 0
    assert kinds(estate, request) == ["request", "permit", "start", "end"]


def test_who_waits_goes_on_over_a_restart_of_the_hub(estate):
    asked, request = run_later(estate, "memory-doctor")
    said, heard = asked.stderr.fileno(), []
    estate.hub.stop()
    try:
        estate.approve(request)  # before the hub is back: its end comes by what is asked anew alone
        os.set_blocking(said, False)
        until("the desk says so", lambda: heard.append(asked.stderr.read() or "") or "waiting on" in "".join(heard))
        os.set_blocking(said, True)
        assert "does not answer" in "".join(heard) and asked.poll() is None
    finally:
        estate.start_hub()
    code, out, err = finish(asked)
    assert code == 0, err
    assert json.loads(out)["outcome"] == "ok" and "answers again" in err


@pytest.mark.flow
def test_a_crash_while_it_runs_is_interrupted_and_never_rerun(estate):
    # A restart that takes its time.  The plan says that Redis is frozen, so that has to be known before it is made.
    os.kill(estate.shim()["pid"], signal.SIGSTOP)
    try:
        until("it is frozen", lambda: estate.service("redis")["state"] == "frozen")
        asked, request = run_later(estate, "restart")
        estate.approve(request)
        until("it runs", lambda: kinds(estate, request)[-1] == "start")
        os.kill(estate.pids("mainstayd")[0], signal.SIGKILL)
        done = until("an end", lambda: estate.leaves(object=request, kind="end"))
        assert [i["reason"] for i in done] == ["interrupted"]
        code, out, _ = finish(asked)
        assert code == 1 and json.loads(out.splitlines()[0])["outcome"] == "interrupted"
        assert kinds(estate, request).count("start") == 1
    finally:
        until("Redis passing", lambda: estate.service("redis")["health"] == "passing" or _thaw(estate))


def _thaw(estate):
    os.kill(estate.shim()["pid"], signal.SIGCONT)
    return False


# --- the vendor's side -----------------------------------------------------------------------------------------------


@pytest.mark.flow
def test_show_and_audit(estate):
    site = estate.desk_json("show", SITE)
    assert site["verified"] and site["statement"]["site"] == SITE
    assert any(s["name"] == "redis" for s in site["services"])

    def verified():
        report = estate.desk_json("audit", "verify", SITE)
        return report["verified"] and report["size"] > 10 and report

    report = until("a cosigned head", verified)
    # The desk remembers: a log that was longer cannot be shorter.
    pin = glob.glob(estate.path("desk", "desk", "*", "sites", f"{SITE}.json"))[0]
    with open(pin) as f:
        seen = json.load(f)
    assert seen["size"] == report["size"]
    seen["size"] += 100000
    with open(pin, "w") as f:
        json.dump(seen, f)
    assert "[rollback]" in estate.desk("audit", "verify", SITE, code=1).stderr


@pytest.mark.flow
def test_who_is_not_logged_in_sees_nothing(estate):
    for command in (["fleet"], ["show", SITE], ["alerts"], ["requests"], ["run", SITE, "redis", "ping", *RUN]):
        assert "[unsigned]" in estate.desk(*command, key="mallory", code=1).stderr
    assert "[unknown-key]" in estate.desk("login", key="stranger", code=1).stderr
    estate.desk("login", key="mallory")
    assert estate.desk_json("fleet", key="mallory")["items"] == []
    assert estate.desk("show", SITE, key="mallory", code=1).returncode == 1


# --- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SK_ED25519, SK_P256])
def test_an_engineer_with_a_token_behind_an_agent(estate, kind):
    """Login and request by a FIDO key, which signs only while somebody touches it; the login lies in memory."""
    name, run = ("fay", "run-fay") if kind == SK_ED25519 else ("fred", "run-fred")
    token = Key(kind, random.Random(name))
    with open(estate.path(f"{name}.pub"), "w") as f:
        f.write(token.line() + f" {name}\n")
    repo, keys = estate.path("repo"), ("--keys", estate.path("keys"))
    estate.run("mainstay-release", "people", "set", repo, *keys, "--name", name, "--key", estate.path(f"{name}.pub"),
               "--roles", "support", "--customers", CUSTOMER)
    estate.run("mainstay-release", "people", "sign", repo, *keys)
    os.mkdir(estate.path(run), 0o700)
    agent = Agent(estate.path(f"{run}/agent"), token)
    env = {"PATH": os.environ["PATH"], "HOME": estate.dir, "SSH_AUTH_SOCK": agent.path, "XDG_RUNTIME_DIR": estate.path(run)}

    def desk(*words):
        argv = [os.path.join(BIN, "mainstay-desk"), *estate.desk_argv(*words, key=f"{name}.pub")[3:]]  # no --state
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=90, check=False)

    try:
        agent.flags = 0
        assert "[bad-signature]" in desk("login").stderr
        agent.flags = PRESENT
        done = desk("login")
        assert done.returncode == 0, done.stderr
        kept = glob.glob(estate.path(run, "mainstay-desk", "*", "http.key"))
        assert len(kept) == 1 and os.stat(kept[0]).st_mode & 0o777 == 0o600
        assert not glob.glob(estate.path(".local", "**", "http.key"), recursive=True)
        done = desk("run", SITE, "redis", "ping", *RUN, "--wait", "60s")
        assert done.returncode == 0 and "PONG" in done.stdout, done.stderr
        assert agent.counter >= 3
        # Revoked: the login that it gave dies at once.
        estate.run("mainstay-release", "people", "set", repo, *keys, "--name", name, "--revoke", "--reason", "lost")
        estate.run("mainstay-release", "people", "sign", repo, *keys)
        assert "[revoked]" in desk("fleet").stderr
    finally:
        agent.close()


# --- approvers -------------------------------------------------------------------------------------------------------

APPROVERS = """v: 1
approvers:
  - {{ name: olga, key: {olga} }}
  - {{ name: pia, key: {pia} }}
  - {{ name: gus, key: {gus} }}
rules:
  - {{ operations: [ping], decision: ask, approvers: pia }}
  - {{ operations: [memory-doctor], decision: ask, approvers: {{ need: 2, of: [pia, gus] }} }}
  - {{ operations: [info], decision: ask, approvers: olga }}
"""


@pytest.fixture(scope="module", name="approvers")
def approvers_of_three_kinds(estate):
    """Olga's key is Ed25519, Pia's P-256, and Gus's lies in an ssh-agent alone."""
    names = {"olga": estate.ssh_key("olga")}
    for name, kind in (("pia", "ecdsa"), ("gus", "ed25519")):
        estate.run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", estate.path(name))
        with open(estate.path(f"{name}.pub")) as f:
            names[name] = " ".join(f.read().split()[:2])
    socket = estate.path("agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("the agent listens", lambda: os.path.exists(socket))
        estate.run("env", f"SSH_AUTH_SOCK={socket}", "ssh-add", "-q", estate.path("gus"))
        os.unlink(estate.path("gus"))
        with open(estate.path("approvers.yaml"), "w") as f:
            f.write(APPROVERS.format(**names))
        os.chmod(estate.path("approvers.yaml"), 0o644)
        estate.mainstay("policy", "apply", estate.path("approvers.yaml"))
        yield socket
    finally:
        agent.terminate()
        agent.wait(10)


def ask(estate, operation, **args):
    payload = good(estate, operation=operation, args=args)
    import_(estate, seal(estate, payload))
    return payload["id"]


def state(estate, request):
    return estate.mainstay_json("requests", "show", request)["state"]


def done(estate, request):
    until(f"{request} is over", lambda: state(estate, request) == "done")


def sign_by_file(estate, request, approver):
    """Shown on the site, signed where the key is, brought back."""
    file = estate.path(f"{request}.{approver}")
    estate.mainstay("requests", "show", request, "--out", file, "--approver", approver)
    estate.run("ssh-keygen", "-q", "-Y", "sign", "-n", "permit@mainstay", "-f", estate.path(approver), file)
    estate.mainstay("requests", "approve", request, "--permit", file)
    return file


def test_two_of_three_sign_where_their_keys_are(estate, approvers):
    request = ask(estate, "ping")
    assert "[wrong-role]" in estate.approve(request, key="olga", code=1).stderr  # an approver, not of this
    # What we do not read ourselves, OpenSSH signs with.
    assert "ssh-add" in estate.approve(request, key="pia", code=2).stderr
    sign_by_file(estate, request, "pia")
    done(estate, request)
    assert estate.leaves(object=request, kind="permit")[0]["actor"] == "pia"
    # One by a file that ssh-keygen signs, one by the agent.
    request = ask(estate, "memory-doctor")
    assert estate.mainstay_json("requests", "show", request)["approval"] == {"have": 0, "need": 2, "by": []}
    file = sign_by_file(estate, request, "pia")
    pending = next(p for p in estate.status()["pending"] if p.get("id") == request)
    assert pending["approval"] == {"have": 1, "need": 2, "by": ["pia"]}
    assert "1 of 2" in estate.mainstay("requests", "show", request).stdout
    assert "[replayed]" in estate.mainstay("requests", "approve", request, "--permit", file, code=1).stderr
    assert state(estate, request) == "waiting"
    estate.run("env", f"SSH_AUTH_SOCK={approvers}", os.path.join(BIN, "mainstay"), "--state", estate.path("site"),
               "requests", "approve", request)
    done(estate, request)
    assert [i["actor"] for i in estate.leaves(object=request, kind="permit")] == ["pia", "gus"]


def test_one_no_ends_what_another_approved(estate, approvers):
    request = ask(estate, "memory-doctor")
    sign_by_file(estate, request, "pia")
    estate.mainstay("requests", "deny", request, "--reason", "not today")
    assert state(estate, request) == "refused"
    assert "start" not in kinds(estate, request)
    late = estate.run("env", f"SSH_AUTH_SOCK={approvers}", os.path.join(BIN, "mainstay"), "--state",
                      estate.path("site"), "requests", "approve", request, code=1)
    assert "only a request that waits can be approved" in late.stderr


def test_a_standing_permit_covers_what_says_the_same(estate, approvers):
    first = ask(estate, "info", section="memory")
    estate.approve(first, key="olga")  # of one use
    done(estate, first)
    second = ask(estate, "info", section="memory")
    assert state(estate, second) == "waiting"
    estate.mainstay("requests", "approve", second, "--key", estate.path("olga"), "--uses", "2", "--for", "1h")
    done(estate, second)
    other = ask(estate, "info", section="cpu")  # another plan
    assert state(estate, other) == "waiting"
    third, fourth = ask(estate, "info", section="memory"), ask(estate, "info", section="memory")
    done(estate, third)
    assert kinds(estate, third) == ["request", "permit", "start", "end"]
    assert state(estate, fourth) == "waiting"  # used up
    estate.mainstay("requests", "approve", fourth, "--key", estate.path("olga"), "--uses", "2", "--for", "1h")
    done(estate, fourth)
    permits = [p for p in estate.mainstay_json("requests", "permits")["items"] if p["used"] < p["uses"]]
    assert [(p["approver"], p["used"], p["uses"]) for p in permits] == [("olga", 1, 2)]

    # The engineer sees, signed, what runs without asking; and that it does no more.
    def told():
        return (estate.desk_json("show", SITE)["permits"] or {"permits": []})["permits"]

    shown = until("the desk is told", lambda: [p for p in told() if p["id"] == permits[0]["id"] and p["left"] == 1])[0]
    assert (shown["operation"], shown["arguments"], shown["approver"]) == ("info", ["section = 'memory'"], "olga")
    assert "1 of 2 uses left" in estate.desk("show", SITE).stdout
    estate.mainstay("requests", "revoke", permits[0]["id"])
    until("the desk is told that it is gone", lambda: not told())
    fifth = ask(estate, "info", section="memory")
    assert state(estate, fifth) == "waiting"
    for request in (other, fifth):
        estate.mainstay("requests", "deny", request, "--reason", "test is over")


def test_what_a_permit_s_command_line_cannot_mean_is_refused(estate, approvers):
    """Before anything is asked or signed: the request is as it was."""
    request, key = ask(estate, "ping"), estate.path("olga")
    name = estate.path("permit")
    with open(name, "w") as f:
        f.write("text\n{}\n")
    long = "/" + "./" * ((4094 - len(name)) // 2) + name[1:]
    for words, text in ((["approve", request, "--permit", name, "--uses", "2"], "stands in what was signed"),
                        (["approve", request, "--permit", name, "--for", "1h"], "stands in what was signed"),
                        (["approve", request, "--permit", name, "--key", key], "needs no --key"),
                        (["approve", request, "--key", key, "--for", "soon"], "is no span of time"),
                        (["show", request, "--approver", "pia", "--for", "1 parsec"], "is no span of time"),
                        (["show", request, "--out", name], "give --approver NAME"),
                        (["approve", request, "--permit", long], "its name is too long")):
        refused = estate.mainstay("requests", *words, code=2)
        assert text in refused.stderr and "[usage]" in refused.stderr
    assert kinds(estate, request) == ["request"] and state(estate, request) == "waiting"
    estate.mainstay("requests", "deny", request, "--reason", "test is over")


# --- another life of the site ----------------------------------------------------------------------------------------


def test_a_restored_folder_asks_a_person_first(estate):
    """What was made for the site before its state folder was restored from a copy waits, though the ceiling allows it."""
    estate.policy(POLICY)
    before, old = estate.status()["appliance"]["epoch"], good(estate)
    lib = estate.path("site", "lib")
    estate.site.stop()
    subprocess.run(["cp", "-a", lib, lib + ".copy"], check=True)
    os.rename(lib, lib + ".old")
    os.rename(lib + ".copy", lib)
    estate.start_site()
    after = estate.status()["appliance"]["epoch"]
    assert after != before and old["epoch"] == before
    import_(estate, seal(estate, old))
    assert estate.requests(state="waiting")[0]["id"] == old["id"]
    shown = estate.mainstay_json("requests", "show", old["id"])
    assert "attention     wrong-epoch: " in shown["plan_text"] and f"epoch         {after}" in shown["plan_text"]
    assert kinds(estate, old["id"]) == ["request"]
    estate.approve(old["id"])
    until("done", lambda: estate.mainstay_json("requests", "show", old["id"])["state"] == "done")
    assert kinds(estate, old["id"]) == ["request", "permit", "start", "end"]
    # The site says what it noticed and what to do about it; so long also what is made for it now waits.
    clone = estate.status()["clone"]
    assert "mainstay enrol --rotate" in clone["remedy"]
    new = good(estate, epoch=after)
    import_(estate, seal(estate, new))
    shown = estate.mainstay_json("requests", "show", new["id"])
    assert shown["state"] == "waiting" and "attention     clone: " in shown["plan_text"]
    assert "wrong-epoch" not in shown["plan_text"] and f"epoch         {after}" in shown["plan_text"]
    estate.mainstay("requests", "deny", new["id"], "--reason", "first the key")
    # The customer says that this is the true one: another key.  Then all is as before, to the desk, too.
    estate.mainstay("enrol", "--rotate", "--ca", estate.path("hub", "ca.pem"))
    assert "clone" not in estate.status()
    assert not any(p["kind"] == "clone" for p in estate.status()["pending"])
    answer = estate.desk_json("run", SITE, "redis", "ping", *RUN, "--wait", "60s")
    assert answer["outcome"] == "ok" and answer["decision"] == "allow"
    assert kinds(estate, answer["id"]) == ["request", "start", "end"]
    assert "clone" not in estate.status()


def test_what_an_operation_does_to_its_limits_does_nothing_to_the_site(estate):
    estate.mainstay("service", "install", "unruly")
    until("it runs", lambda: estate.service("unruly")["state"] == "running")
    asked = {name: estate.desk_later("run", SITE, "unruly", name, *RUN, "--wait", "60s")
             for name in ("forks", "floods", "grows")}
    took = []
    while len(estate.requests(state="done", service="unruly")) < 3 and len(took) < 400:
        begun = time.monotonic()
        estate.status()
        took.append(time.monotonic() - begun)
        assert estate.redis("ping") == "PONG"
    assert len(took) >= 5 and statistics.median(took) < 1, took
    results = {name: json.loads(finish(a)[1].splitlines()[-1]) for name, a in asked.items()}
    assert [results[n]["outcome"] for n in ("forks", "floods", "grows")] == ["timeout", "timeout", "failed"]
    assert "its time of 2000 ms was over" in results["forks"]["stderr"]
    assert results["floods"]["truncated"] and "64 KiB of output" in results["floods"]["stderr"]
    assert len(results["floods"]["stdout"]) == 65536
    if "cgroups" in estate.status()["enforced"]:
        assert "its limit of 64 processes" in results["forks"]["stderr"]
        assert "its limit of 32 MiB of memory" in results["grows"]["stderr"]
    estate.mainstay("service", "remove", "unruly")
