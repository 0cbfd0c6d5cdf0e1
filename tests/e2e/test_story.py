"""The main job, whole, and what must hold around it: one estate, one story, in order."""

import ast
import base64
import glob
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from estate import APPROVER, CUSTOMER, SITE, Daemon, Estate, until
from pinger import Pinger

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module", name="estate")
def an_estate_with_redis():
    with Estate("story") as e:
        e.begin()
        e.install_redis()
        yield e


# --- the way through ---------------------------------------------------------------------------------------------


def test_the_services_metrics_arrive_at_the_vendor(estate):
    estate.redis("config", "set", "maxmemory", "123456789")
    until("metric", lambda: [m for m in estate.desk_json("show", SITE)["metrics"]
                             if m["name"] == "redis_maxmemory" and m["value"] == 123456789])
    line = estate.desk("metrics", SITE, "redis_maxmemory", "--match", "service=redis").stdout.splitlines()[-1]
    assert line.endswith("  123456789")
    until("that it is up", lambda: [m for m in estate.desk_json("show", SITE)["metrics"]
                                    if m["name"] == "mainstay_service_up" and m["value"] == 1])
    assert estate.desk("metrics", SITE, "redis_maxmemory", "--csv", "--fn", "max", "--step", "1h").stdout.endswith(",123456789\n")
    none = estate.desk("logs", SITE, "--severity", "fatal")
    assert none.stdout == "" and "no such line came from the site" in none.stderr
    sent = estate.mainstay_json("telemetry", "sent")["items"]
    assert {i["stream"] for i in sent} >= {"metrics", "heartbeat"}
    assert all(i["bytes"] > 0 and i["sequence"] > 0 for i in sent)
    ways = {w["stream"]: w for w in estate.status()["shipping"]}
    assert ways["metrics"]["to"] == "hub" and ways["metrics"]["committed"] > 0 and not ways["metrics"]["counts"]


def lines_saved(estate):
    return [i for i in map(json.loads, estate.desk("logs", SITE, "redis", "--json").stdout.splitlines())
            if "DB saved on disk" in i["body"]]


def has_shipped_a_log(estate):
    """The service's own log is accepted, and a line of it at the vendor."""
    if lines_saved(estate):
        return
    until("a log that waits", lambda: [i for i in estate.mainstay_json("telemetry", "review")["items"]
                                       if i["field"] == "log.redis.redis"])
    estate.mainstay("telemetry", "accept", "log.redis.redis")
    until("followed", lambda: os.path.exists(estate.path("site", "lib/telemetry/logs.cursor")))
    estate.redis("bgsave")
    until("the line", lambda: lines_saved(estate))


def test_an_accepted_log_s_lines_arrive_at_the_vendor(estate):
    has_shipped_a_log(estate)
    line = lines_saved(estate)[0]
    assert line["source"] == "log.redis.redis" and line["time"].startswith("20")


def test_what_the_site_is_made_of_arrives_at_the_vendor(estate):
    groups = {"inventory.os", "inventory.packages"}
    until("groups that wait", lambda: groups <= {i["field"] for i in estate.mainstay_json("telemetry", "review")["items"]})
    estate.mainstay("telemetry", "accept", *groups)

    def arrived():
        got = {i["group"]: i["body"] for i in estate.desk_json("inventory", SITE)["items"]}
        return got if len(got) == 2 else None
    got = until("the inventory", arrived)
    assert got["os"]["kernel"] == os.uname().release
    assert {p["name"]: p["version"] for p in got["packages"]["packages"]}["libc6"].startswith("2.")
    shown = {i["group"]: i["state"] for i in estate.mainstay_json("telemetry", "inventory")["items"]}
    assert shown["os"] == shown["packages"] == "written" and shown["network"] == "not sent"


def test_an_allowed_operation_runs_and_its_result_is_verified(estate):
    done = json.loads(estate.desk("run", SITE, "redis", "ping", "--reason", "look", "--ticket", "T-1", "--wait",
                                  "60s", "--json").stdout)
    assert done["result"]["outcome"] == "ok" and done["result"]["stdout"].strip() == "PONG"
    assert [i["kind"] for i in estate.leaves(object=done["id"])] == ["request", "start", "end"]


def test_a_frozen_service_raises_an_alert_and_an_approved_restart_repairs_it(estate):
    pid = estate.shim()["pid"]
    os.kill(pid, signal.SIGSTOP)
    until("frozen", lambda: estate.service("redis")["state"] == "frozen")
    told = estate.mainstay("doctor", code=1).stdout
    assert re.search(r"^service +BAD +redis is frozen, .*mainstay service logs redis", told, re.M)
    assert re.search(r"^hub +ok ", told, re.M)
    until("leaf", lambda: estate.leaves(kind="alert"))
    until("alert at the vendor", lambda: [a for a in estate.desk_json("alerts")["items"]
                                          if a["name"] == "RedisNotAnswering" and a["state"] == "firing"])
    desk = estate.desk_later("run", SITE, "redis", "restart", "--reason", "hangs", "--ticket", "T-2", "--wait", "90s")
    waiting = until("waiting", lambda: estate.requests(state="waiting"))[0]
    assert estate.shim()["pid"] == pid
    estate.approve(waiting["id"])
    out, err = desk.communicate(timeout=120)
    assert desk.returncode == 0, err
    assert json.loads(out)["result"]["outcome"] == "ok"
    assert estate.redis("ping") == "PONG" and estate.shim()["pid"] != pid
    until("resolved", lambda: not [a for a in estate.desk_json("alerts")["items"] if a["state"] == "firing"])
    assert [i["kind"] for i in estate.leaves(object=waiting["id"])] == ["request", "permit", "start", "end"]
    # The same permit does not serve twice.
    estate.approve(waiting["id"], code=1)


def protoc(way, message, data):
    protos = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "conformance")
    return subprocess.run(["protoc", f"--proto_path={protos}", f"--{way}=otlp.{message}", "otlp.proto"], input=data,
                          stdout=subprocess.PIPE, check=True).stdout


def milliseconds(ns):
    s, rest = divmod(int(ns), 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(s)) + f".{rest // 10**6:03}Z"


def alerts_of_a_frozen_one(estate):
    return [a for a in estate.desk_json("alerts")["items"] if a["name"] == "RedisNotAnswering"]


def has_had_an_alert(estate):
    """One is at the vendor: that of the test above or, where it did not run, another."""
    if alerts_of_a_frozen_one(estate):
        return
    pid = estate.shim()["pid"]
    os.kill(pid, signal.SIGSTOP)
    until("an alert at the vendor", lambda: alerts_of_a_frozen_one(estate))
    os.kill(pid, signal.SIGCONT)
    until("resolved", lambda: all(a["state"] != "firing" for a in alerts_of_a_frozen_one(estate)))


@pytest.mark.skipif(not shutil.which("protoc"), reason="protoc (protobuf-compiler) is not there")
def test_protoc_reads_every_field_of_what_was_shipped(estate):
    messages = {"metrics": "ExportMetricsServiceRequest", "logs": "ExportLogsServiceRequest", "alerts": "ExportLogsServiceRequest"}
    texts = {}
    has_shipped_a_log(estate)
    has_had_an_alert(estate)
    until("each stream was shipped", lambda: set(messages) <= {
        i["stream"] for i in estate.mainstay_json("telemetry", "sent")["items"]})
    for item in estate.mainstay_json("telemetry", "sent")["items"]:
        if item["stream"] not in messages or len(texts.setdefault(item["stream"], [])) > 3:
            continue
        shown = estate.mainstay_json("telemetry", "sent", "--body", f"{item['stream']}:{item['sequence']}")
        body, message = base64.b64decode(shown["body"]), messages[item["stream"]]
        if item["stream"] == "metrics" and b"redis_maxmemory" not in body:
            continue  # of before Redis ran
        text = protoc("decode", message, body)
        assert not re.search(rb"^\s*\d+[:{ ]", text, re.M), "a field that OTLP does not know"
        # What protoc understood is all that there is: it writes the same bytes, or the same in another order.
        again = protoc("encode", message, text)
        assert len(again) == len(body) and protoc("decode", message, again) == text
        texts[item["stream"]].append(text.decode())
    # And field by field it is what the vendor has.
    points = {line.split(",", 3)[3].split('"')[1]: float(line.rsplit(",", 1)[1]) for line in estate.desk(
        "metrics", SITE, "redis_maxmemory", "--match", "service=redis", "--csv").stdout.splitlines()[1:]}
    found = re.findall(r'name: "redis_maxmemory"\n.*?time_unix_nano: (\d+)\n\s+as_\w+: (\S+)', "".join(texts["metrics"]), re.S)
    assert found and all(points[milliseconds(ns)] == float(value) for ns, value in found)
    found = re.findall(r'log_records {\n\s+(?:time_unix_nano: (\d+)\n\s+)?(?:severity_number: (\d+)\n\s+)?body {\n\s+string_value: (".*")\n',
                       "".join(texts["logs"]))
    assert len(found) == "".join(texts["logs"]).count("log_records {") > 0
    found = [(ns, severity, ast.literal_eval("b" + body).decode()) for ns, severity, body in found]  # protoc escapes as C does

    def arrived():  # what was written last is shipped while we look
        got = {i["body"]: i for i in map(json.loads, estate.desk("logs", SITE, "redis", "--json").stdout.splitlines())}
        return got if {body for _, _, body in found} <= set(got) else None
    lines = until("the lines", arrived)
    for ns, severity, body in found:
        line = lines[body]
        assert line["severity"] == int(severity or 0) and (not ns or line["time"] == milliseconds(ns))
    alert = alerts_of_a_frozen_one(estate)[0]
    for text in texts["alerts"]:
        said = dict(re.findall(r'key: "(\S+)"\s+value {\s+string_value: (".*")', text))
        assert {k: json.loads(said[k]) for k in ("alert", "service", "severity", "proposed")} == {
            "alert": alert["name"], "service": "redis", "severity": alert["severity"], "proposed": "restart"}
        assert f'string_value: "{alert["text"]}"' in text and 'event_name: "mainstay.alert"' in text
        assert json.loads(said["state"]) in ("firing", "muted", "resolved") and {"since", "value"} <= set(said)


def test_an_unknown_knob_is_refused_with_the_nearest_and_nothing_is_set(estate):
    before = open(estate.path("site", "etc", "cluster.yaml")).read()
    refused = estate.mainstay("service", "set", "redis", "maxmem=1", code=1)
    assert 'redis: unknown knob "maxmem"; did you mean "maxmemory"? [unknown-field]' in refused.stderr
    refused = estate.mainstay("service", "set", "redis", "port=70000", code=1)
    assert "[malformed]" in refused.stderr and "port" in refused.stderr
    assert open(estate.path("site", "etc", "cluster.yaml")).read() == before


def test_a_desk_without_a_home_says_what_to_give(estate):
    refused = estate.run("env", "-i", "MAINSTAY_DEBUG=1", os.path.join(estate.bin, "mainstay-desk"), "--card",
                         estate.path("vendor.card"), "--key", estate.path("vera"), "fleet", code=2)
    assert "--state: there is no HOME; give --state DIR [usage]" in refused.stderr


def test_a_denied_request_runs_nothing(estate):
    starts, pid = len(estate.leaves(kind="start")), estate.shim()["pid"]
    desk = estate.desk_later("run", SITE, "redis", "restart", "--reason", "again", "--ticket", "T-3", "--wait", "90s")
    waiting = until("waiting", lambda: estate.requests(state="waiting"))[0]
    estate.mainstay("requests", "deny", waiting["id"], "--reason", "not today")
    out, err = desk.communicate(timeout=120)
    assert desk.returncode == 1 and "denied" in out + err
    assert len(estate.leaves(kind="start")) == starts and estate.shim()["pid"] == pid


def test_an_engineer_cannot_approve(estate):
    desk = estate.desk_later("run", SITE, "redis", "restart", "--reason", "x", "--ticket", "T-4", "--wait", "90s")
    waiting = until("waiting", lambda: estate.requests(state="waiting"))[0]
    refused = estate.approve(waiting["id"], key="vera", code=1)
    assert "[" in refused.stderr
    assert estate.requests(state="waiting")
    estate.mainstay("requests", "deny", waiting["id"], "--reason", "test")
    desk.communicate(timeout=120)


# --- who owns the hub ------------------------------------------------------------------------------------------------


def test_a_ticket_is_exported_and_checked_by_somebody_who_has_neither_side(estate):
    done = estate.desk("run", SITE, "redis", "ping", "--reason", "look", "--ticket", "T-77", "--wait", "60s", "--json")
    assert json.loads(done.stdout)["result"]["outcome"] == "ok"
    until("cosigned", lambda: (lambda a: a["cosigned"] == a["size"])(estate.status()["audit"]), timeout=40)
    file, folder, nowhere = estate.path("T-77.export"), estate.path("T-77"), estate.path("nowhere")
    assert "[not-found]" in estate.mainstay("audit", "export", "--ticket", "T-none", "--out", file, code=1).stderr
    estate.mainstay("audit", "export", "--ticket", "T-77", "--out", file)
    estate.mainstay("audit", "export", "--ticket", "T-77", "--out", folder + "/")
    head = estate.mainstay_json("audit", "head")
    policy = estate.path("auditor.policy")
    with open(policy, "w") as f:
        f.write(f"log {head['vkey']}\nwitness hub {head['quorum']['witnesses'][0]['key']}\nquorum hub\n")

    def verify(what, code=0, *more):
        return estate.run("mainstay", "--state", nowhere, "audit", "verify", what, *more, code=code)

    for what in (file, folder):
        said = verify(what, 0, "--policy", policy).stdout
        assert "ticket T-77, 1 requests" in said and "quorum hub: met" in said
        assert "compare it" in verify(what).stdout and "not judged" in verify(what).stdout
        assert "an engineer's then, by people document" in verify(what, 0, "--card", estate.path("vendor.card")).stdout
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=folder, check=True, timeout=20)
    with open(file) as f:
        doc = json.load(f)
    kinds = [json.loads(base64.b64decode(doc["files"][n].split("\n")[1][6:]))["kind"]
             for n in doc["files"] if n.startswith("leaves/")]
    assert sorted(kinds) == ["end", "request", "start"]
    # What it wrote, as the leaf of its end names it.
    assert estate.mainstay("replay", *glob.glob(os.path.join(folder, "requests", "*.cast"))).stdout == "PONG\n"
    # A byte of each file, and it is named.
    for name in doc["files"]:
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            good = f.read()
        with open(path, "wb") as f:
            f.write(good[:len(good) // 2] + (b"x" if good[len(good) // 2:][:1] != b"x" else b"y") + good[len(good) // 2 + 1:])
        assert f"{name}: " in verify(folder, 1).stderr.replace("entry", "")
        os.unlink(path)
        assert "[altered]" in verify(folder, 1).stderr
        with open(path, "wb") as f:
            f.write(good)
    verify(folder)
    # Another log's key, and another's witness.
    with open(policy, "w") as f:
        f.write(f"log {head['vkey']}\nwitness x x.example+00000000+AA==\nquorum x\n")
    assert ":2:11" in verify(file, 1, "--policy", policy).stderr


def test_replayed_and_altered_requests_from_the_hubs_own_state_are_refused(estate):
    pid, starts = estate.shim()["pid"], len(estate.leaves(kind="start"))
    file = next(d for d in glob.glob(estate.path("hub", "**", f"{CUSTOMER}.db"), recursive=True))
    with sqlite3.connect(file, timeout=10) as db:
        db.row_factory = sqlite3.Row
        row = dict(db.execute("SELECT * FROM requests WHERE site = ? ORDER BY n LIMIT 1", (SITE,)).fetchone())
        top = db.execute("SELECT max(n) FROM requests").fetchone()[0]
        text = row["envelope"].decode() if isinstance(row["envelope"], bytes) else row["envelope"]
        doc = json.loads(text)
        payload = json.loads(base64.b64decode(doc["payload"]))
        payload.update(operation="stop", id="f" * 8, nonce="e" * len(payload["nonce"]))
        doc["payload"] = base64.b64encode(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()).decode()
        forged = json.dumps(doc, sort_keys=True, separators=(",", ":"))
        for n, name, envelope in ((top + 1, "replay", text), (top + 2, "forged", forged), (top + 3, "noise", "{}")):
            row.update(n=n, id=name, envelope=envelope, state="queued", plan=None, result=None)
            db.execute(f"INSERT INTO requests ({','.join(row)}) VALUES ({','.join('?' * len(row))})",
                       list(row.values()))
        db.execute("UPDATE mailboxes SET last = ? WHERE site = ?", (top + 3, SITE))
    until("replay refused", lambda: estate.leaves(kind="refuse", reason="replayed"))
    until("forgery refused", lambda: estate.leaves(kind="refuse", reason="bad-signature"))
    assert len(estate.leaves(kind="start")) == starts and estate.shim()["pid"] == pid
    # And the mailbox goes on.
    done = estate.desk("run", SITE, "redis", "ping", "--reason", "look", "--ticket", "T-5", "--wait", "60s", "--json")
    assert json.loads(done.stdout)["result"]["outcome"] == "ok"


# --- kill -9 ----------------------------------------------------------------------------------------------------------


def victims(estate):
    return [("mainstayd", "mainstayd"), ("mainstay-collectd", "mainstay-collectd"),
            ("mainstay-courier", "mainstay-courier"), ("the shim", None),
            ("mainstay-supervise", "mainstay-supervise")]


def find(estate, program):
    for pid, words in estate.processes():
        shim = "--shim" in words
        if program is None and shim or program and os.path.basename(words.split()[0]) == program and not shim:
            return pid
    return None


def test_redis_answers_while_each_process_is_killed_and_comes_back(estate):
    redis = estate.shim()["pid"]
    with Pinger(estate.path("site", "run", "services", "redis", "redis.sock"), timeout_s=2) as pinger:
        for name, program in victims(estate):
            pid = until(name, lambda p=program: find(estate, p))
            os.kill(pid, signal.SIGKILL)
            until(f"another {name}", lambda p=program, old=pid: (find(estate, p) or old) != old)
            until(f"status after {name}", lambda: estate.service("redis")["state"] == "running")
            assert estate.shim()["pid"] == redis
        time.sleep(1)
    assert not pinger.failed and pinger.ok > 50, pinger.failed[:3]
    done = estate.desk("run", SITE, "redis", "ping", "--reason", "after", "--ticket", "T-6", "--wait", "60s", "--json")
    assert json.loads(done.stdout)["result"]["outcome"] == "ok"


def test_the_hub_killed_loses_nothing_that_it_acknowledged(estate):
    before = estate.mainstay_json("telemetry", "sent")["items"]
    estate.hub.proc.kill()
    estate.hub.proc.wait()
    time.sleep(2)
    estate.start_hub()
    until("more sent", lambda: len(estate.mainstay_json("telemetry", "sent")["items"]) > len(before))
    file = next(d for d in glob.glob(estate.path("hub", "**", f"{CUSTOMER}.db"), recursive=True))
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10) as db:
        rows = db.execute("SELECT sequence FROM batches WHERE site = ? AND stream = 'metrics' ORDER BY sequence",
                          (SITE,)).fetchall()
    assert [r[0] for r in rows] == list(range(1, len(rows) + 1))


# --- switches -----------------------------------------------------------------------------------------------------------


def test_off_works_while_the_monitor_hangs(estate):
    monitor = find(estate, "mainstayd")
    os.kill(monitor, signal.SIGSTOP)
    try:
        estate.mainstay("off", "remote", code=None, timeout=60)
        assert os.path.exists(estate.path("site", "etc", "off", "remote"))
    finally:
        os.kill(monitor, signal.SIGCONT)
    desk = estate.desk_later("run", SITE, "redis", "ping", "--reason", "x", "--ticket", "T-7", "--wait", "4s")
    desk.communicate(timeout=60)
    assert desk.returncode == 5
    assert not [r for r in estate.requests() if r.get("ticket") == "T-7"]
    estate.mainstay("on", "remote")
    until("delivered now", lambda: [i for i in estate.requests() if i.get("ticket") == "T-7"])


def test_all_off_is_silence(estate):
    estate.mainstay("off", "all")
    assert not any(estate.status()["switches"].values())
    time.sleep(1)
    sent = len(estate.mainstay_json("telemetry", "sent")["items"])
    time.sleep(3)
    assert len(estate.mainstay_json("telemetry", "sent")["items"]) == sent
    estate.mainstay("on", "all")
    until("telemetry again", lambda: len(estate.mainstay_json("telemetry", "sent")["items"]) > sent)


# --- proof ----------------------------------------------------------------------------------------------------------------


def test_both_sides_verify_the_log(estate):
    until("cosigned", lambda: (lambda a: a["cosigned"] == a["size"])(estate.status()["audit"]))
    assert "verified" in estate.mainstay("audit", "verify").stdout
    estate.desk("audit", "verify", SITE)


def test_second_run_on_the_same_state_is_a_conflict(estate):
    refused = estate.mainstay("run", code=1)
    assert "[conflict]" in refused.stderr
    assert estate.service("redis")["state"] == "running"


def test_a_changed_log_is_found_and_the_entry_named_also_by_a_monitor_that_refuses_to_start(estate):
    segment = next(f for f in sorted(glob.glob(estate.path("site", "lib", "audit", "**", "*"), recursive=True))
                   if os.path.isfile(f) and b'"kind":"switch"' in open(f, "rb").read())
    with open(segment, "rb") as f:
        good = f.read()
    at = good.index(b'"kind":"switch"') + 9
    with open(segment, "r+b") as f:
        f.seek(at)
        f.write(b"t")
    try:
        found = estate.mainstay("audit", "verify", code=1)
        assert "[altered]" in found.stderr and "entry" in found.stderr
        os.kill(find(estate, "mainstayd"), signal.SIGKILL)
        until("nobody", lambda: estate.mainstay("status", code=None).returncode == 3)
        found = until("the folder's word", lambda: (lambda d: d if d.returncode == 1 else None)(
            estate.mainstay("audit", "verify", code=None)))
        assert "[altered]" in found.stderr and "entry" in found.stderr
        assert estate.redis("ping") == "PONG"
    finally:
        with open(segment, "wb") as f:
            f.write(good)
    until("the monitor again", lambda: estate.mainstay("status", code=None).returncode == 0)
    estate.mainstay("audit", "verify")


# --- another site key ------------------------------------------------------------------------------------------


def test_what_was_asked_before_a_rotation_is_answered_by_the_chain_after_it(estate):
    """One answer lies at the hub, one still in the outbox; a stopped courier keeps it there while the key changes."""
    words = ("--reason", "look", "--ticket", "T-9", "--wait", "60s", "--json")
    had = json.loads(estate.desk("run", SITE, "redis", "ping", *words).stdout)["id"]
    desk = estate.desk_later("run", SITE, "redis", "restart", "--reason", "x", "--ticket", "T-9", "--wait", "60s")
    unsent = until("waiting", lambda: estate.requests(state="waiting"))[0]["id"]
    refused = len(estate.leaves(kind="refuse"))
    courier = estate.pids("mainstay-courier")[0]
    os.kill(courier, signal.SIGSTOP)
    try:
        estate.approve(unsent)
        until("an end", lambda: estate.leaves(object=unsent, kind="end"))
        estate.mainstay("enrol", "--rotate")
    finally:
        os.kill(courier, signal.SIGCONT)
    out, err = desk.communicate(timeout=120)
    assert desk.returncode == 0 and json.loads(out)["result"]["outcome"] == "ok", err
    assert "key_until" not in json.loads(out)
    shown = estate.desk_json("requests", had)
    assert shown["result"]["stdout"].strip() == "PONG" and shown["key_until"].startswith("20")
    assert "signed by the key that was the site's until" in estate.desk("requests", had).stdout
    assert estate.desk_json("requests", unsent)["result"]["outcome"] == "ok"
    assert len(estate.leaves(kind="refuse")) == refused
    until("nothing stuck", lambda: estate.status()["outbox"]["stuck"] == [])
