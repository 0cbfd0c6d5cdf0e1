"""PostgreSQL 15 as it ships: Debian's server in a release of ours, from install to stop, and its dump in another."""

import glob
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from estate import BIN, ROOT, SITE, Estate, until

PG = "/usr/lib/postgresql/15/bin"
pytestmark = pytest.mark.skipif(not (os.path.exists(os.path.join(BIN, "mainstay")) and os.path.exists(f"{PG}/postgres")),
                                reason="needs the built programs and postgresql-15")
POLICY = """v: 1
approvers:
  - {{name: olga, key: "{key}"}}
rules:
  - services: [postgresql]
    operations: [activity, statements, locks, databases, bloat, settings, replication, cancel, terminate, checkpoint,
                 analyze, vacuum, reload]
    decision: allow
"""
# What a person might try to put into the server's files by a knob.
HOSTILE = ["timezone=UTC'\nshared_preload_libraries='x", "timezone=UTC' #", "timezone=a\\", "timezone=$libdir",
           "log-statement=all' archive_mode=on", "synchronous-commit=off\narchive_command=x", "work-mem=64mb'",
           "max-connections=100 # x", "port=1", "tcp=true; x", "statement-timeout=1s'", "shared-buffers=0"]


def release(estate, name, **changes):
    folder = os.path.join(estate.path(name), "postgresql")
    shutil.copytree(os.path.join(ROOT, "packaging", "services", "postgresql"), folder)
    file = os.path.join(folder, "service.yaml")
    with open(file) as f:
        text = f.read()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with open(file, "w") as f:
        f.write(text)
    return folder


def secret(estate, name):
    with open(estate.path("site", "lib", "services", "postgresql", "secrets", name)) as f:
        return f.read()


def sql(estate, text, user="app", database="app", password=None, code=0):
    """One statement through the service's own socket, as a program of the customer's would."""
    done = subprocess.run([f"{PG}/psql", "-X", "-A", "-t", "-w", "-h", estate.path("site", "run", "services", "postgresql"),
                           "-p", "5432", "-U", user, "-d", database, "-c", text], capture_output=True, text=True,
                          timeout=30, env={"PGPASSWORD": password or secret(estate, "app"), "PATH": "/usr/bin",
                                           "PGCONNECT_TIMEOUT": "5"})
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.strip() if code == 0 else done.stderr


def run(estate, operation, *args):
    answer = estate.desk_json("run", SITE, "postgresql", operation, *args, "--reason", "look", "--ticket", "T-1", "--wait",
                              "60s")
    assert answer["result"]["outcome"] == "ok", answer["result"]
    return answer["result"]["stdout"]


def set_knobs(estate, *knobs, code=0):
    return estate.mainstay("service", "set", "postgresql", *knobs, code=code)


def test_postgresql_from_install_to_stop():
    with Estate("service-postgresql") as e:
        e.vendor(release(e, "first"))
        e.start_site()
        e.enrol()
        e.policy(POLICY)
        e.mainstay("on", "all")
        e.mainstay("service", "install", "postgresql")
        until("passing", lambda: e.service("postgresql")["health"] == "passing")
        sql(e, "CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
        who_may_what(e)
        knobs(e)
        operations(e)
        metrics_and_secrets(e)
        upgrade(e)
        upgrade_that_destroys(e)
        heals_and_stops(e)


def groups(e, program):
    with open(f"/proc/{e.pids(program)[0]}/status") as f:
        lines = dict(line.split(":", 1) for line in f)
    return {int(g) for g in (lines["Gid"] + lines["Groups"]).split()}


def who_may_what(e):
    assert "password authentication failed" in sql(e, "SELECT 1", password="wrong", code=2)
    for user in ("postgres", "mainstay_look"):  # only the service's own uid is they
        assert "authentication failed" in sql(e, "SELECT 1", user=user, database="postgres", code=2)
    watch = {"user": "mainstay_metrics", "password": secret(e, "metrics")}
    assert sql(e, "SELECT count(*) > 0 FROM pg_stat_activity", database="postgres", **watch) == "t"
    assert "pg_hba" in sql(e, "SELECT 1", database="app", code=2, **watch)
    assert "permission denied" in sql(e, "SELECT pg_read_file('/etc/passwd')", database="postgres", code=1, **watch)
    assert sql(e, "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = 'app'") == "f"
    assert sql(e, "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolsuper") == "postgres"
    # The collector's group reaches the socket, the courier's groups do not.
    if os.geteuid() == 0:
        group = os.stat(e.path("site", "run", "services", "postgresql")).st_gid
        assert group in groups(e, "mainstay-collectd") and group not in groups(e, "mainstay-courier")
    assert sql(e, "SHOW data_checksums") == "on" and sql(e, "SHOW listen_addresses") == ""


def knobs(e):
    pid = e.shim("postgresql")["pid"]
    set_knobs(e, "work-mem=8mb", "statement-timeout=90s", "timezone=Europe/Berlin", "log-statement=ddl")
    until("reloaded", lambda: sql(e, "SHOW work_mem") == "8MB")
    assert sql(e, "SHOW statement_timeout") == "90s" and sql(e, "SHOW timezone") == "Europe/Berlin"
    assert e.shim("postgresql")["pid"] == pid, "a reload, no restart"
    set_knobs(e, "max-connections=42")
    until("restarted", lambda: sql(e, "SHOW max_connections") == "42")
    assert e.shim("postgresql")["pid"] != pid
    assert sql(e, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
    # What each knob needs is what the server says of its setting.
    needs = json.loads(sql(e, "SELECT json_object_agg(name, context) FROM pg_settings"))
    knob = {k["name"]: k for k in e.mainstay_json("service", "show", "postgresql")["knobs"]}
    for name, setting in {"shared-buffers": "shared_buffers", "max-connections": "max_connections", "port": "port",
                          "tcp": "listen_addresses", "work-mem": "work_mem", "max-wal-size": "max_wal_size",
                          "maintenance-work-mem": "maintenance_work_mem", "autovacuum": "autovacuum",
                          "effective-cache-size": "effective_cache_size", "checkpoint-timeout": "checkpoint_timeout",
                          "synchronous-commit": "synchronous_commit", "statement-timeout": "statement_timeout",
                          "idle-in-transaction-timeout": "idle_in_transaction_session_timeout",
                          "log-min-duration": "log_min_duration_statement", "log-statement": "log_statement",
                          "timezone": "TimeZone"}.items():
        assert knob[name]["apply"] == ("restart" if needs[setting] == "postmaster" else "reload"), name
    conf = e.path("site", "lib", "services", "postgresql", "conf", "postgresql.conf")
    before, pid = open(conf).read(), e.shim("postgresql")["pid"]
    for value in HOSTILE:
        said = set_knobs(e, value, code=1).stderr
        assert "[malformed]" in said, said
    assert open(conf).read() == before and e.shim("postgresql")["pid"] == pid
    # A value that the pattern takes and the server does not: it goes back, for a later start would fail.
    set_knobs(e, "timezone=Nowhere/Land", code=1)
    assert sql(e, "SHOW timezone") == "Europe/Berlin" and open(conf).read() == before


def operations(e):
    assert "mainstay" in run(e, "activity")
    assert "mainstay" in run(e, "statements", "count=5")
    assert "(0 rows)" in run(e, "locks") and "(0 rows)" in run(e, "replication")
    assert "app" in run(e, "databases") and "max_connections" in run(e, "settings")
    assert "CHECKPOINT" in run(e, "checkpoint") and "ANALYZE" in run(e, "analyze")
    assert "VACUUM" in run(e, "vacuum", "database=app") and "kept" in run(e, "bloat")
    assert "t" in run(e, "reload").split()
    for bad in (["vacuum", "database=app user=postgres"], ["vacuum", "database=app'"], ["cancel", "pid=0"],
                ["cancel", "pid=1); DROP TABLE kept; --"], ["bloat", "database=-x"]):
        e.desk("run", SITE, "postgresql", *bad, "--reason", "r", "--ticket", "t", code=1)
    slow = subprocess.Popen([f"{PG}/psql", "-X", "-h", e.path("site", "run", "services", "postgresql"), "-U", "app", "-d",
                             "app", "-c", "SELECT pg_sleep(60)"], stderr=subprocess.PIPE, text=True,
                            env={"PGPASSWORD": secret(e, "app"), "PATH": "/usr/bin"})
    pid = until("it sleeps", lambda: sql(e, "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"))
    run(e, "cancel", f"pid={pid}")
    assert "canceling statement due to user request" in slow.communicate(timeout=20)[1]


def metrics_and_secrets(e):
    def told():
        return {m["name"]: m["value"] for m in e.desk_json("show", SITE)["metrics"]}

    until("metrics at the vendor", lambda: told()["postgres_max_connections"] == 42 and told()["postgres_up"] == 1)
    # Another password: the server has it from its next start, and the collector asks for it again.
    old = secret(e, "metrics")
    e.mainstay("service", "secret", "rotate", "postgresql", "metrics")
    until("passing", lambda: e.service("postgresql")["health"] == "passing")
    assert secret(e, "metrics") != old
    assert "failed" in until("the new one counts", lambda: sql(e, "SELECT 1", user="mainstay_metrics", database="postgres",
                                                              password=old, code=2))
    since = time.time()
    until("metrics again", lambda: told()["postgres_uptime_seconds"] < time.time() - since + 30 and told()["postgres_up"] == 1)
    for root in ("site/run", "site/etc", "site/lib/telemetry", "site/lib/monitor", "site/lib/services/postgresql/conf",
                 "hub"):
        found = subprocess.run(["grep", "-rlaF", secret(e, "metrics"), e.path(*root.split("/"))], capture_output=True,
                               text=True)
        assert found.returncode == 1, found.stdout


def upgrade(e):
    e.publish(release(e, "second", **{'version: "15.18"': 'version: "15.18+2"', "default: 64mb": "default: 80mb"}))
    e.mainstay("update", "check")
    until("a plan", lambda: "sha256:" in e.mainstay("update", "plan").stdout)
    e.mainstay("update", "apply")
    with open(e.path("site", "lib", "cluster.lock")) as f:
        assert json.load(f)["services"]["postgresql"]["version"] == "15.18+2"
    assert sql(e, "SHOW maintenance_work_mem") == "80MB" and sql(e, "SHOW max_connections") == "42"
    assert sql(e, "SELECT sum(n) FROM kept") == "5050"
    dumps = glob.glob(e.path("site", "lib", "services", "postgresql", "data", ".snapshot", "*", "all.sql"))
    assert len(dumps) == 1
    assert os.path.getsize(dumps[0]) > 1000


def upgrade_that_destroys(e):
    """A release of another data format spoils the files: the dump that was made before is the databases again."""
    e.publish(release(e, "third", **{
        'version: "15.18"': 'version: "15.18+3"', "format: pg15": "format: pg16", "accepts: []": "accepts: [pg15]",
        "exec:\n  - /usr/bin/dash\n": "exec:\n  - /usr/bin/dash\n  - -c\n  - rm -rf /data/main/base; exit 1\n"}))
    e.mainstay("update", "check")
    until("a plan", lambda: "one-way" in e.mainstay("update", "plan").stdout)
    said = e.mainstay("update", "apply", code=1).stderr
    assert "[state-moved]" in said and "; now postgresql 15.18+2 is running, health passing" in said, said
    assert sql(e, "SELECT sum(n) FROM kept") == "5050" and sql(e, "SHOW max_connections") == "42"
    data = os.listdir(e.path("site", "lib", "services", "postgresql", "data"))
    assert "main" in data and not [name for name in data if name.startswith("main.")], data


def heals_and_stops(e):
    before = e.shim("postgresql")["pid"]
    os.kill(before, signal.SIGKILL)
    until("healed", lambda: e.shim("postgresql")["pid"] not in (0, before) and sql(e, "SELECT sum(n) FROM kept") == "5050")
    e.mainstay("service", "stop", "postgresql")
    log = e.mainstay("service", "logs", "postgresql").stdout
    assert "database system is shut down" in log.splitlines()[-1]
    assert not [w for _, w in e.processes() if "postgresql.conf" in w]
