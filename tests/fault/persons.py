"""Everybody who does something on an estate, side by side, while strikes.py kills; and whether what they were told is so."""

import contextlib
import glob
import http.server
import json
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import time

import standing
from asking import FLOWS_OF, POLICY, Asking, Counting
from estate import BIN, SITE, until
from estates import ACTIVATE, HUB, TELLER, read
from evidence import leaves, lines, requests, wrong
from passphrase import with_passphrase
from shipped import Shipped
from strikes import COMMAND, DESK, OF_CHANGES, OF_KNOBS, RELEASE, Ambush
from subprocess import DEVNULL, Popen, TimeoutExpired

COMMAND_S, SETTLE_S, LOOK_S, READY_S = 60, 30, 0.03, 2
# The hub waits for a minute at most before it starts again who died often (telemetry/alert/notify_child.c).
TOLD_S = 60 + 30
SERVICE = """name: {name}
version: "{version}"
payload: {{programs: [/bin/dash, /bin/sleep]}}
exec: [/usr/bin/dash, -c, "{before}exec /usr/bin/sleep 1000000"]
stop: {{grace: 200ms}}
config: [{{path: level, template: level, format: conf}}]
knobs: {{level: {{type: int, min: 0, max: 9, default: 1, apply: restart, help: how much}}}}
health: {{type: exec, argv: [/usr/bin/sleep, "0"], period: 200ms, timeout: 1s, failures: 2, within: 20s, soak: 300ms}}
"""
SERVICES = ("tuned", "rolled")
GUEST = "guest"
TELL = "#!/bin/sh\ncat >/dev/null\nsleep 0.05\n"
RULES = """rules:
  - {service: waves, name: Wave, metric: wave, op: above, value: 0.5, for: 1s, by: [n], severity: warning, text: "wave {label.n}"}
"""
UNLISTED = "is newer than what the snapshot lists: an interrupted command left it (refresh removes it)"
# The supervisor gives a service up that it had to start so often in a minute less one; a person's restart counts, too.
BRAKE_S, BRAKE = 60, 2
# So long a wave is up: of more alerts in a minute the hub tells a sum, and more in an hour are more than one rule watches.
WAVE_S, WAVES = 8, 60


class Pages(http.server.BaseHTTPRequestHandler):
    """An exporter whose numbers come and go, and a receiver of alerts."""

    def do_GET(self):
        n = min(int((time.monotonic() - self.server.began) / WAVE_S), WAVES)
        body = "# TYPE wave gauge\n" + "".join(f'wave{{n="{i}"}} {int(i == n)}\n' for i in range(max(n - 4, 0), n + 1))
        self.answer(body.encode(), "text/plain; version=0.0.4")

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append([n["notice"] for n in message["notices"] if "notice" in n])
        self.answer(b"", "text/plain")

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Who asked was killed."""


class Everybody(Counting):
    def __init__(self, estate, dice):
        super().__init__(estate)
        self.dice, self.round, self.version, self.done, self.bad, self.tally = dice, 0, 1, [], [], {}
        self.askings, self.strikes, self.note, self.hopeless = [], [], "", False
        self.service_deaths, self.teller_deaths, self.over = {}, 0, threading.Event()
        self.steps_due = 0  # so many of the steps are taken however long that lasts
        self.deeds = []  # the points of those that are being done
        self.file_lock, self.strike_lock = threading.Lock(), threading.Lock()
        self.pages = Server(("127.0.0.1", 0), Pages)
        self.pages.told, self.pages.began = [], time.monotonic()
        threading.Thread(target=self.pages.serve_forever, daemon=True).start()

    # --- before ---------------------------------------------------------------------------------------------------

    def folder(self, name, version, fails=False):
        """A release's source; what fails ends at once."""
        folder = self.e.path("sources", name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(os.path.join(folder, "service.yaml"), "w", encoding="utf-8") as f:
            f.write(SERVICE.format(name=name, version=version, before="exit 1; " if fails else f"echo {version} >>/data/starts; "))
        with open(os.path.join(folder, "level"), "w", encoding="utf-8") as f:
            f.write("level {{knob.level}}\n")
        return folder

    def begin(self, services):
        e, url = self.e, f"http://127.0.0.1:{self.pages.server_address[1]}"
        os.makedirs(e.path("site", "etc", "notify.d"))
        for file, text, mode in ((("site", "etc", "notify.d", "tell"), TELL, 0o755), (("site", "etc", "rules.yaml"), RULES, 0o644),
                                 (("secret",), "s3cret\n", 0o600)):
            with open(e.path(*file), "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(e.path(*file), mode)
        e.settings += f"  rules: rules.yaml\n  scrape: [{{name: waves, url: \"{url}/metrics\"}}]\n"
        super().begin([(name, self.folder(name, "1.0")) for name in services], "notify: [request, alert]\n")
        e.publish(self.folder(GUEST, "1.0"))
        e.mainstay("on", "telemetry")
        e.run("mainstay-hubd", "notify", "add", "--state", e.path("hub"), "--kind", "webhook", "--url", url, "--insecure-http",
              "--secret-file", e.path("secret"))
        until("what alerts may say accepted", lambda: not e.mainstay("telemetry", "accept", "alert.waves.Wave", code=None).returncode)
        until("a first record", lambda: glob.glob(e.path("hub", "**", "acme.db"), recursive=True))
        self.metrics, self.alerts = Shipped(e, "metrics"), Shipped(e, "alerts")
        until("a first row", lambda: self.metrics.rows()["metrics"])

    # --- commands -------------------------------------------------------------------------------------------------

    def take(self, who):
        """The strike that such a command is for now."""
        with self.strike_lock:
            for strike in self.strikes:
                if strike.victim == who and not strike.over.is_set():
                    if strike.pass_over == 0:
                        strike.over.set()
                        return strike
                    strike.pass_over -= 1
        return None

    def command(self, who, program, *argv):
        """(whether it said that it did it, what it said)"""
        strike = self.take(who)
        with tempfile.TemporaryFile("w+") as out:
            process = Popen([*(strike.under() if strike else []), os.path.join(BIN, program), *argv], stdout=out, stderr=out, stdin=DEVNULL)
            if strike:
                threading.Thread(target=strike.watch, args=(process,)).start()
            try:
                process.wait(COMMAND_S)
                late = ""
            except TimeoutExpired:
                late = f"{argv} is not over after {COMMAND_S} s; {self.what_is_under_way()}"
                process.kill()
            process.wait()
            out.seek(0)
            said = out.read()
            if late:
                self.bad.append(f"{late}; it said {said[-500:]!r}")
        return process.returncode == 0, said

    def what_is_under_way(self):
        """For whoever looks into a command that hangs."""
        said = [self.e.run("mainstay", "--state", self.site, *verb, "--json", code=None).stdout for verb in (("update", "status"), ("status",))]
        return f"update status: {said[0][:1500]}, status: {said[1][:2500]}"

    def mainstay(self, *argv):
        good, said = self.command(COMMAND, "mainstay", "--state", self.site, *argv)
        self.did(f"{' '.join(argv[:2])}: {'ok' if good else 'no'}")
        return good, said

    def did(self, what):
        self.done.append(what)
        self.tally[what] = self.tally.get(what, 0) + 1

    def claim(self, what, holds):
        if not holds:
            self.bad.append(f"{what} was said, and is not so")

    # --- persons --------------------------------------------------------------------------------------------------

    def engineer(self, i):
        asking = Asking(self.e, self.draws[i], f"t-{self.round}-{i}", COMMAND_S)
        self.askings.append(asking)
        strike = self.take(DESK)
        asking.ask(strike.under() if strike else ())
        if strike:
            threading.Thread(target=strike.watch, args=(asking.desk,)).start()
        end = time.monotonic() + COMMAND_S
        while time.monotonic() < end and not (asking.desk.poll() is not None and (asking.request is None or asking.is_over())):
            time.sleep(LOOK_S)
            asking.look()
            asking.help()
        asking.desk.kill()
        asking.outcome = asking.outcome_told(asking.said(asking.desk))

    def releaser(self):
        """Publish a release, and again where that was cut off."""
        fails = self.version % 4 == 3
        version = f"1.{self.version}"
        built, keys, repo = self.e.path("built.rolled"), self.e.path("keys"), self.e.path("repo")
        folder = self.folder("rolled", version, fails)
        steps = (("build", folder, "-o", built), ("sign", built, "--key", os.path.join(keys, "targets.key")),
                 ("publish", built, "--to", repo, "--keys", keys))
        for _ in range(4):
            for step in steps:
                good, said = self.command(RELEASE, "mainstay-release", *with_passphrase(step))
                if not good:
                    break
            self.verify_repository(f"after {step[0]}: {said[-200:]}", not good)
            if good or "is published" in said:
                self.did("published" + ("" if good else " before"))
                self.version += 1
                return
        self.bad.append(f"the release engineer cannot publish {version}: {said[-300:]}")

    def verify_repository(self, when, cut_off):
        """Of roles that were written and not listed yet it says whose they are: one that was cut off, or a stranger's."""
        done = self.e.run("mainstay-release", "verify", self.e.path("repo"), code=None)
        if done.returncode and not (cut_off and UNLISTED in done.stderr):
            self.bad.append(f"the repository is not whole {when}: {done.stderr[-300:]}")

    def changer(self):
        """Somebody who puts in, takes out, and goes back."""
        self.wait_for(OF_CHANGES)
        began = time.monotonic()
        with self.at_deed(OF_CHANGES):
            for i, what in enumerate(self.steps):
                if time.monotonic() > began + 2.5 and i >= self.steps_due:
                    return
                {"guest": self.change_guest, "update": self.update, "rollback": self.go_back}[what]()

    def change_guest(self):
        with self.file_lock:
            there = GUEST in standing.locked(self.site)
            if there or GUEST in standing.wanted(self.site) and self.level % 2:
                good, said = self.mainstay("service", "remove", GUEST)
                self.claim(said, not good or GUEST not in standing.locked(self.site))
            else:
                good, said = self.mainstay("service", "install", GUEST)
                self.claim(said, not good or GUEST in standing.locked(self.site))

    def update(self):
        good, said = self.mainstay("update", "check")
        if good and not self.e.run("mainstay", "--state", self.site, "update", "plan", code=None).returncode:
            good, said = self.mainstay("update", "apply", "--again")
            named = re.search(r"^rolled (\S+) is running", said, re.M)
            self.claim(said, not good or named and named[1] == self.running_version())

    def go_back(self):
        good, said = self.mainstay("update", "rollback", "rolled")
        named = re.search(r"^rolled (\S+) is running", said, re.M)
        self.claim(said, not good or named and named[1] == self.running_version())

    def running_version(self):
        return standing.document(self.site, "lib", "cluster.lock")["services"]["rolled"]["version"]

    def wait_for(self, points):
        for strike in self.strikes:
            if strike.point and strike.point[0] in points:
                strike.ready.wait(READY_S)

    @contextlib.contextmanager
    def at_deed(self, points):
        """What may bring somebody to these points."""
        self.deeds.append(points)
        try:
            yield
        finally:
            self.deeds.remove(points)

    def may_come_to(self, point):
        return any(point[0] in points for points in self.deeds)

    def operator(self):
        self.wait_for(OF_KNOBS)
        with self.at_deed(OF_KNOBS):
            {"set": self.turn, "edit": self.edit, "policy": self.narrow}[self.knob]()

    def turn(self):
        level = self.level
        good, said = self.mainstay("service", "set", "tuned", f"level={level}")
        self.claim(said, not good or standing.wanted(self.site)["tuned"].get("level", "1") == str(level))

    def edit(self):
        """In an editor, which gives the whole of it a name at once; what a person wrote outlasts what commands write."""
        with self.file_lock:
            file = os.path.join(self.site, "etc", "cluster.yaml")
            text = re.sub(r"^# .*\n", "", read(file), flags=re.M)
            self.note = f"# round {self.round}\n"
            with open(file + ".edited", "w", encoding="utf-8") as f:
                f.write(self.note + text)
            os.rename(file + ".edited", file)
        self.did("edited")

    def narrow(self):
        """One policy, or the other."""
        more = "  - {services: [tuned], risk: [destroy], decision: deny}\n" if self.level % 2 else ""
        file = self.e.path("site", "etc", "policy.yaml")
        with open(file, "w", encoding="utf-8") as f:
            f.write("notify: [request, alert]\n" + POLICY.format(key=self.e.ssh_key("olga")) + more)
        good, said = self.mainstay("policy", "apply", file)
        digest = standing.document(self.site, "lib", "monitor", "guard.json").get("digest", "")
        self.claim(said, not good or [leaf["digest"] for leaf in leaves(self.site) if leaf["kind"] == "policy"][-1:] == [digest])

    # --- one round ------------------------------------------------------------------------------------------------

    def act(self, n, strikes):
        dice = self.dice
        self.round, self.strikes, self.askings, self.done, self.bad = n, strikes, [], [], []
        self.draws = [dice.choice(list(FLOWS_OF)) for _ in range(2)]
        self.steps = [dice.choice(["guest", "update", "rollback"]) for _ in range(3)]
        self.knob, self.level = dice.choice(["set", "set", "edit", "policy"]), dice.randint(0, 9)
        # Who is to die is given something to do.
        points = {strike.point[0] for strike in strikes if strike.point}
        if points & set(OF_CHANGES):
            self.steps[0] = "guest"
        self.steps_due = 0
        if any(strike.victim == ACTIVATE for strike in strikes):
            # One of the two puts something in, however long the other takes.
            self.steps[:2], self.steps_due = ["guest", "guest"], 2
        if points & set(OF_KNOBS):
            self.knob = "set"
        self.known = self.asked()
        self.over.clear()
        self.began = time.monotonic()
        doing = [(self.engineer, 0), (self.engineer, 1), (self.changer,), (self.operator,)]
        if n % 2 or any(strike.victim == RELEASE for strike in strikes):
            doing.append((self.releaser,))
        persons, killers = ([threading.Thread(target=self.attempt, args=args) for args in all_of_them] for all_of_them in (
            doing, [(strike.run, self.began) for strike in strikes if not strike.ambushes()]
            + [(Ambush(self, [strike for strike in strikes if strike.ambushes()]).run, self.began)]))
        for thread in persons + killers:
            thread.start()
        for thread in persons:
            thread.join()
        self.over.set()
        for thread in killers:
            thread.join()
        self.acted_s = time.monotonic() - self.began

    def attempt(self, what, *args):
        """A person who meets what nobody expected has something to tell."""
        try:
            what(*args)
        except Exception as error:  # noqa: BLE001  (whatever it is)
            self.bad.append(f"{what.__name__}: {error!r}"[:2000])

    def service_pids(self):
        """{pid: name} of services that may die once more."""
        found = {}
        for name in standing.locked(self.site):
            deaths = [t for t in self.service_deaths.get(name, []) if t > time.monotonic() - BRAKE_S]
            pid = standing.document(self.site, "run", "shim", f"{name}.json").get("pid")
            if pid and len(deaths) < BRAKE:
                found[pid] = name
        return found

    def story(self):
        return ", ".join([f"{a.operation} {a.request.outcome if a.request else 'not asked'}" for a in self.askings] + self.done)

    def counts(self):
        return ", ".join(f"{what} {times}" for what, times in sorted(self.tally.items())) + \
            f"; {self.metrics.ledger_end()} records of metrics, {len(requests(self.site))} requests, {len(leaves(self.site))} leaves, " \
            f"{sum(map(len, self.pages.told))} notices told"

    # --- what holds after it --------------------------------------------------------------------------------------

    def judge(self):
        bad = list(self.bad)
        try:
            if not read(os.path.join(self.site, "etc", "cluster.yaml")).startswith(self.note):
                bad.append("what a person wrote into cluster.yaml is gone")
            bad += [b for b in (self.judge_standing(), *map(self.judge_asking, self.askings), self.judge_requests(), self.metrics.wrong(),
                                self.alerts.wrong()) if b]
            self.e.mainstay("audit", "verify")
        except AssertionError as error:
            bad.append(f"{error}"[:2000])
        for asking in self.askings:
            asking.end()
        return "; ".join(bad)

    def judge_standing(self):
        end, bad = time.monotonic() + SETTLE_S, "?"
        while bad and time.monotonic() < end:
            try:
                bad = standing.wrong(self.e)
            except (AssertionError, OSError, ValueError, KeyError, TimeoutExpired) as error:
                bad = f"{error!r}"[:1000]
            for asking in self.askings:
                asking.is_over()  # one whose desk was killed comes when nobody expects it, and waits for an approver all the same
            time.sleep(0.1 if bad else 0)
        self.hopeless = bool(bad) and "without a name" not in bad and "leftovers" not in bad
        return bad

    def judge_asking(self, asking):
        asking.look()
        r = asking.request
        if r is None:
            return ""
        until(f"{asking.operation} {r.id} over", asking.is_over)
        r = asking.request
        outcome = until(f"an answer to {r.id} at the desk", lambda: self.answer(r.id))
        if outcome != r.outcome or asking.outcome not in (None, r.outcome):
            return f"the desk reads {outcome}, the one who waited read {asking.outcome}, the site has {r.outcome}"
        self.tally[f"{asking.operation} {r.outcome}"] = self.tally.get(f"{asking.operation} {r.outcome}", 0) + 1
        verb = asking.operation in ("restart", "plan")
        return wrong(self.site, r, verb)

    def judge_requests(self):
        """What the hub took, the site ends; nobody asked for more."""
        new = self.asked() - self.known
        if len(new) > len(self.askings):
            return f"{len(self.askings)} asked, the hub has {new}"
        until(f"{new} on site", lambda: new <= {r.id for r in requests(self.site).values()})
        until(f"{new} over", lambda: all(r.state in ("done", "refused") and r.settled for r in requests(self.site).values()))
        return ""

    def mended(self):
        return not self.hopeless

    def at_last(self):
        """What does not hold when all is over."""
        if self.hopeless:
            return "it did not recover"
        try:
            until("every record at the hub", lambda: self.metrics.all_arrived() and self.alerts.all_arrived(), timeout=60)
            self.e.mainstay("audit", "verify")
            until("the log verified from the desk", lambda: self.e.desk("audit", "verify", SITE, code=None).returncode == 0)
            for r in requests(self.site).values():
                verb = not any(line.endswith(" " + r.ticket) for line in lines(self.site, "runs"))
                if wrong(self.site, r, verb):
                    return f"{r.id} ({r.ticket}): {wrong(self.site, r, verb)}"
            return self.metrics.wrong() or self.alerts.wrong() or self.wrong_hub()
        except AssertionError as error:
            return f"{error}"[:2000]

    def wrong_hub(self):
        """Rows at the hub: what there may be one of."""
        with sqlite3.connect(f"file:{self.metrics.db}?mode=ro", uri=True, timeout=10) as db:
            numbers = [n for n, in db.execute("SELECT n FROM requests UNION ALL SELECT n FROM cancels")]
            open_ones = db.execute("SELECT labels, count(*) FROM alerts WHERE state != 'resolved' GROUP BY service, name, labels").fetchall()
            conflicts = db.execute("SELECT (SELECT count(*) FROM head_conflicts), (SELECT count(*) FROM clones)").fetchone()
            notices = {n for n, in db.execute("SELECT id FROM notices WHERE held = 0")}
        if len(numbers) != len(set(numbers)):
            return f"the mailbox gave a number twice: {sorted(numbers)}"
        if any(n > 1 for _, n in open_ones) or any(conflicts):
            return f"alerts that are open: {open_ones}; heads in conflict, clones: {conflicts}"
        until("every notice told", lambda: notices <= {n for message in self.pages.told for n in message}, TOLD_S)
        return self.wrong_notices()

    def wrong_notices(self):
        """In their order; a message that comes once more is the last one again, whose answer somebody died over."""
        newest, last, repeats = 0, [], 0
        for message in self.pages.told:
            if message != sorted(set(message)) or (message[0] <= newest and message[:len(last)] != last):
                return f"notices out of order: {self.pages.told}"
            repeats += message[0] <= newest
            newest, last = message[-1], message
        return f"{repeats} messages came twice, of {self.teller_deaths} deaths" if repeats > self.teller_deaths else ""
