"""PostgreSQL 15 as it ships: Debian's server in a release of ours, from install to stop, and its dump in another."""

import glob
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from estate import BIN, ROOT, SITE, Estate, operations_of, until

PG = "/usr/lib/postgresql/15/bin"
pytestmark = pytest.mark.skipif(not (os.path.exists(os.path.join(BIN, "mainstay")) and os.path.exists(f"{PG}/postgres")),
                                reason="needs the built programs and postgresql-15")
POLICY = """v: 1
approvers:
  - {{name: olga, key: "{key}"}}
rules:
  - services: [postgresql]
    operations: [activity, statements, session, long-transactions, locks, databases, bloat, table-sizes, index-usage, wal,
                 autovacuum, progress, settings, replication, cancel, terminate, end-idle-transactions, checkpoint, analyze,
                 vacuum, vacuum-table, reindex, reload]
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
    # Only the service's own uid is they; without root, that is ours.
    for user in ("postgres", "mainstay_look") if os.geteuid() == 0 else ():
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


class Session:
    """A program of the customer's that is connected, and runs a statement."""

    def __init__(self, e, text):
        self.e = e
        self.psql = subprocess.Popen([f"{PG}/psql", "-X", "-h", e.path("site", "run", "services", "postgresql"), "-U", "app",
                                      "-d", "app", "-v", "VERBOSITY=terse"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, text=True,
                                     env={"PGPASSWORD": secret(e, "app"), "PATH": "/usr/bin", "PGAPPNAME": "billing"})
        self.psql.stdin.write(text + ";\n")
        self.psql.stdin.flush()
        self.pid = until(text, lambda: sql(e, f"SELECT pid FROM pg_stat_activity WHERE query = '{text.split('; ')[-1]};'"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.psql.kill()
        self.psql.wait()

    def ends(self):
        """Whether it is gone from the server, and what it was told; what is left of it goes."""
        gone = sql(self.e, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {self.pid}") == "0"
        return gone, self.psql.communicate("SELECT 1;\n", timeout=20)[1]


def operations(e):
    sql(e, "CREATE INDEX kept_n ON kept (n)")
    with Session(e, "SELECT pg_sleep(600)") as slow, Session(e, "SELECT 11") as idle, \
            Session(e, "BEGIN; SELECT 12") as forgotten, Session(e, "SELECT 13") as other:
        assert looks(e, slow) | repairs(e, slow, idle, forgotten) == operations_of("postgresql") | {"reload"}
        assert other.ends() == (False, ""), "nobody else's"
    for bad in (["vacuum", "database=app user=postgres"], ["vacuum", "database=app'"], ["cancel", "pid=0"],
                ["cancel", "pid=1); DROP TABLE kept; --"], ["bloat", "database=-x"], ["session", "pid=1 OR true"],
                ["long-transactions", "older-than=1s'"], ["long-transactions", "older-than=31d"], ["table-sizes", "count=1;"],
                ["index-usage", "database=app options=-x"], ["autovacuum", "count=201"], ["terminate", "pid=all"],
                ["end-idle-transactions", "older-than=0s"], ["end-idle-transactions", "count=21"],
                ["reindex", 'index=kept_n"; DROP TABLE kept; --'], ["reindex", "index=kept_n", "schema=public'"],
                ["vacuum-table", "table=kept) FULL"], ["vacuum-table", "table=$$"]):
        e.desk("run", SITE, "postgresql", *bad, "--reason", "r", "--ticket", "t", code=1)


def looks(e, slow):
    must = {("activity",): "mainstay", ("statements", "count=5"): "pg_sleep", ("locks",): "(0 rows)",
            ("replication",): "(0 rows)", ("databases",): "app", ("settings",): "max_connections", ("bloat",): "kept",
            ("session", f"pid={slow.pid}"): "PgSleep", ("long-transactions", "older-than=0s"): "idle in transaction",
            ("table-sizes",): "kept ", ("index-usage", "database=app"): "kept_n", ("wal",): "on_disk",
            ("autovacuum",): "kept ", ("progress",): "(0 rows)", ("reload",): ""}
    for ask, done in zip(must, e.desk_all("postgresql", *must)):
        assert done["result"]["outcome"] == "ok" and must[ask] in done["stdout"], (ask, done)
        assert ask[0] == "statements" or "SELECT 1" not in done["stdout"], "no texts of statements"
    return {ask[0] for ask in must}


def repairs(e, slow, idle, forgotten):
    was = sql(e, "SELECT relfilenode FROM pg_class WHERE relname = 'kept_n'")
    asks = (["cancel", f"pid={slow.pid}"], ["terminate", f"pid={idle.pid}"],
            ["end-idle-transactions", "older-than=1s", "count=2"], ["reindex", "index=kept_n"],
            ["vacuum-table", "table=kept"], ["checkpoint"], ["analyze"], ["vacuum", "database=app"])
    cancel, terminate, ended, reindex, table, checkpoint, analyze, vacuum = e.desk_all("postgresql", *asks)
    # Each plan named the very session, index or table.
    assert cancel["plan"]["targets"][1].startswith(f"the statement that session {slow.pid} runs since ")
    assert terminate["plan"]["targets"][1] == f"session {idle.pid}" and "user app" in terminate["plan"]["targets"][2]
    assert [w.split(",")[0] for w in ended["plan"]["targets"][1:]] == [f"session {forgotten.pid}"]
    assert reindex["plan"]["targets"][1:] == ["index kept_n of table kept"]
    assert table["plan"]["targets"][1:] == ["table public.kept of database app"]
    gone, told = slow.ends()
    assert not gone and "canceling statement due to user request" in told
    for session in (idle, forgotten):
        gone, told = session.ends()
        assert gone and "terminating connection due to administrator command" in told
    assert sql(e, "SELECT relfilenode FROM pg_class WHERE relname = 'kept_n'") != was
    assert sql(e, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'kept_n'::regclass") == "t"
    for done, text in ((reindex, "REINDEX"), (table, "VACUUM"), (checkpoint, "CHECKPOINT"), (analyze, "ANALYZE"), (vacuum, "VACUUM")):
        assert text in done["stdout"], done
    # What finds nothing to do is refused before it is planned.
    refused = e.desk_all("postgresql", ["cancel", "pid=4194304"], ["terminate", f"pid={idle.pid}"], ["end-idle-transactions"],
                         ["reindex", "index=other"], ["vacuum-table", "table=kept_n"], code=1)
    for said, why in zip(refused, ("runs no statement", "no session", "no session sits idle", "no index public.other", "no table")):
        assert '"conflict"' in said and why in said, said
    return {ask[0] for ask in asks}


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
