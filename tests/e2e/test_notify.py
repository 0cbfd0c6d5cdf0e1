"""Who is told of alerts, by real receivers: Debian's Alertmanager, an SMTP server (aiosmtpd) and webhooks."""

import email
import email.policy
import hashlib
import hmac
import http.server
import json
import os
import shutil
import signal
import ssl
import subprocess
import threading
import urllib.request

import pytest

from estate import until
from hub import attribute, field, log_folder, now, program
from proxy import free_port, wait_for

PLAIN = "--insecure-http"
HOSTILE = 'a\r\nBcc: x@evil.example\r\n\r\n.\r\n=?UTF-8?Q?x?= {{ .Bad }} <script>'


def receiver(hub, *args):
    return json.loads(hub.command("notify", "add", "--json", *args).stdout)["id"]


def alone(name, *argv, env=None):
    """A program without the hub's words around it; what it says is in the log of refusals."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTAY_")} if env is None else env
    done = subprocess.run([program(name), *argv], env=clean | {"MAINSTAY_DEBUG": "1"}, capture_output=True, check=False, timeout=20)
    with open(os.path.join(log_folder(), "commands.log"), "ab") as log:
        log.write(b"$ %s\n%s" % (name.encode(), done.stderr))
    return done


def listed(hub, number):
    items = json.loads(hub.command("notify", "list", "--json").stdout)["items"]
    return next(i for i in items if i["id"] == number)


def alert(sender, name, state, text="no answer", **labels):
    record = field(5, field(1, text.encode()))
    for key, value in {"alert": name, "service": "redis", "state": state, "since": now(-5), "severity": "critical",
                       **{"label." + k: v for k, v in labels.items()}}.items():
        record += field(6, attribute(key, value))
    record += field(12, b"mainstay.alert")
    body = field(1, field(2, field(2, record)))
    assert sender.post("/v1/logs", "alerts", body, "application/x-protobuf").status == 200


class Webhook:
    """Answers as answers says, one after the other, the last for ever; None: never."""

    def __init__(self, *answers):
        self.got, self.answers, hook = [], list(answers), self
        self.over = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = hook.answers.pop(0) if len(hook.answers) > 1 else hook.answers[0]
                hook.got.append((answer, self.headers, body))
                if answer is None:
                    hook.over.wait(30)
                    return
                self.send_response(answer)
                if answer == 302:
                    self.send_header("Location", hook.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def notices(self, answer=200):
        return [n for a, _, body in self.got if a == answer for n in json.loads(body)["notices"]]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def sites(hub, ada):
    return [hub.accepted_site(ada, "tell-1", "acme"), hub.accepted_site(ada, "tell-2", "globex")]


@pytest.fixture
def key(hub, tmp_path):
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    return str(file)


@pytest.fixture(autouse=True)
def nobody_after(hub):
    yield
    for item in json.loads(hub.command("notify", "list", "--json").stdout)["items"]:
        hub.command("notify", "remove", str(item["id"]))


def test_a_webhook_is_told_of_each_change_once_and_of_its_customer_s_alone(hub, sites, key):
    with Webhook(503, 200) as hook, Webhook(None) as slow, Webhook(302) as elsewhere:
        mine = receiver(hub, "--kind", "webhook", "--url", hook.url, PLAIN, "--customer", "acme", "--secret-file", key)
        others = [receiver(hub, "--kind", "webhook", "--url", w.url, PLAIN) for w in (slow, elsewhere)]
        alert(sites[1], "theirs", "firing")
        alert(sites[0], "ours", "firing", text=HOSTILE, disk="sda")
        until("told at the second try, past one who never answers", lambda: hook.notices())
        # The one who notifies dies: it is started again, and what was written down as told is not told twice.
        until("written down", lambda: listed(hub, mine)["told"] == 1)
        child = subprocess.run(["pgrep", "-P", str(hub.process.pid), "-f", "hub-notify"], stdout=subprocess.PIPE, check=True)
        os.kill(int(child.stdout), signal.SIGKILL)
        alert(sites[0], "ours", "resolved", disk="sda")
        until("the end", lambda: len(hook.notices()) == 2)
        first, last = hook.notices()
        assert (first["state"], first["text"], first["labels"]) == ("firing", HOSTILE, {"disk": "sda"})
        assert (last["state"], last["id"]) == ("resolved", first["id"])
        for _, headers, body in hook.got:
            assert b"globex" not in body and b"tell-2" not in body
            when, mac = (part.split("=")[1] for part in headers["Mainstay-Signature"].split(","))
            assert mac == hmac.new(b"s3cret", when.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert until("counted", lambda: listed(hub, mine)["told"] == 2) and listed(hub, mine)["dead"] == 0
        assert listed(hub, others[0])["waiting"] >= 2
        assert until("no redirect is followed", lambda: listed(hub, others[1])["error"]) == "it answered with 302"
        assert len({b for _, _, b in elsewhere.got}) and all(h.get("Host") for _, h, _ in elsewhere.got)
    for number in (mine, *others):
        hub.command("notify", "remove", str(number))
    assert json.loads(hub.command("notify", "list", "--json").stdout)["items"] == []


def test_an_alertmanager_has_what_fires_and_forgets_what_is_over(hub, sites, tmp_path):
    program = shutil.which("prometheus-alertmanager")
    if not program:
        pytest.skip("prometheus-alertmanager is not installed")
    port = free_port()
    (tmp_path / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen([program, "--config.file=am.yml", "--storage.path=data", "--cluster.listen-address=",
                                   "--web.listen-address=127.0.0.1:%d" % port], cwd=tmp_path, stdout=log, stderr=log)
    url = "http://127.0.0.1:%d" % port

    def active():
        with urllib.request.urlopen(url + "/api/v2/alerts?active=true") as reply:
            return [a for a in json.load(reply) if a["labels"].get("site") == "tell-1"]

    try:
        wait_for(port)
        number = receiver(hub, "--kind", "alertmanager", "--url", url + "/", PLAIN, "--customer", "acme")
        assert b"took the test (200)" in hub.command("notify", "test", str(number)).stdout
        alert(sites[0], "am", "firing", text=HOSTILE, **{"0-odd name": "v", "site": "another", "empty": ""})
        one = until("it has it", active)[0]
        assert one["labels"] == {"alertname": "am", "site": "tell-1", "service": "redis", "severity": "critical",
                                 "customer": "acme", "hub": hub.name, "_0_odd_name": "v"}
        assert one["annotations"]["text"] == HOSTILE
        alert(sites[0], "am", "resolved", **{"0-odd name": "v", "site": "another", "empty": ""})
        until("it is over", lambda: not active())
        assert listed(hub, number)["dead"] == 0
        hub.command("notify", "remove", str(number))
    finally:
        server.terminate()
        server.wait(10)


def test_a_mail_holds_what_a_site_wrote_as_text_alone(hub, sites, tmp_path):
    controller = pytest.importorskip("aiosmtpd.controller", reason="python3-aiosmtpd is not installed")
    smtp = pytest.importorskip("aiosmtpd.smtp")
    got, logins = [], []

    class Keeper:
        async def handle_DATA(self, server, session, envelope):
            got.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
            return "250 OK"

    def login(server, session, envelope, mechanism, data):
        logins.append((data.login, data.password))
        return smtp.AuthResult(success=data.password == b"pass word")

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.path.join(hub.state, "server.pem"), os.path.join(hub.state, "server.key"))
    server = controller.Controller(Keeper(), hostname="127.0.0.1", port=free_port(), tls_context=tls, require_starttls=True,
                                   authenticator=login, auth_required=True)
    secret = tmp_path / "mail"
    secret.write_text("alerts\npass word\n")
    secret.chmod(0o600)
    server.start()
    try:
        number = receiver(hub, "--kind", "smtp", "--url", "smtp://127.0.0.1:%d" % server.port, "--from", "hub@example.com", "--to",
                          "ada@example.com,bob@example.com", "--cacert", hub.ca, "--secret-file", str(secret), "--customer", "acme")
        alert(sites[0], "ä" * 50 + HOSTILE[:9], "firing", text=HOSTILE)
        until("the mail", lambda: got)
        for i in range(30):
            alert(sites[0], "many-%d" % i, "firing")
        until("a digest", lambda: any(b"changes of alerts" in (decoded(m)["Subject"] or "").encode() for _, _, m in got))
        until("all but those that are held back", lambda: listed(hub, number)["waiting"] == 0)
        assert len(got) < 20
        sender, recipients, content = got[0]
        assert sender == "hub@example.com" and recipients == ["ada@example.com", "bob@example.com"]
        mail = decoded(content)
        assert mail["Bcc"] is None and mail["To"] == "ada@example.com, bob@example.com"
        assert mail["Subject"].startswith("[firing] tell-1/redis: ä") and not mail.is_multipart()
        assert "a\\r\\nBcc" in mail.get_content() or "a\\nBcc" in mail.get_content() or "\\x0d" in mail.get_content()
        assert "    mainstay-desk alerts show acme." in mail.get_content()
        assert b"Bcc" not in content and b"evil" not in content and max(map(len, content.split(b"\r\n"))) < 200
        assert set(logins) == {(b"alerts", b"pass word")}
        # Without TLS nothing is said, not even who one is.
        secret.write_text("alerts\nwrong\n")
        done = hub.command("notify", "test", str(number), check=False)
        assert done.returncode == 3 and b"[unreachable]" in done.stderr and b"wrong" not in done.stderr + done.stdout
        hub.command("notify", "remove", str(number))
    finally:
        server.stop()


def decoded(content):
    return email.message_from_bytes(content, policy=email.policy.default)


def test_who_cannot_be_told_safely_is_refused(hub, tmp_path):
    loose = tmp_path / "loose"
    loose.write_text("x")
    loose.chmod(0o644)
    for words in (["--kind", "pager", "--url", "https://x"], ["--kind", "webhook", "--url", "http://example.com"],
                  ["--kind", "webhook", "--url", "http://127.0.0.1:1"], ["--kind", "webhook", "--url", "http://10.0.0.1/", PLAIN]):
        done = hub.command("notify", "add", *words, check=False)
        assert done.returncode == 2 and b"[usage]" in done.stderr
    done = hub.command("notify", "add", "--kind", "webhook", "--url", "https://x", "--secret-file", str(loose), check=False)
    assert done.returncode == 1 and b"[denied]" in done.stderr
    for verb in ("remove", "test"):
        done = hub.command("notify", verb, "999", check=False)
        assert done.returncode == 1 and b"[not-found]" in done.stderr
    assert hub.command("notify", "remove", "x", check=False).returncode == 2
    done = hub.command("notify", "add", "--kind", "webhook", "--url", "https://x/" + "y" * 600, check=False)
    assert done.returncode == 2 and b"longer than 511 bytes" in done.stderr
    done = alone("mainstay-hubd", "notify", "list", "--state", str(tmp_path))
    assert done.returncode == 1 and b"[not-found]" in done.stderr and os.listdir(tmp_path) == ["loose"]
    done = alone("mainstay-hubd", "notify", "list", env={})
    assert done.returncode == 2 and b"--state" in done.stderr
    # A folder that is no hub's tells nobody.
    done = alone("mainstay-hub-notify", "--state", str(tmp_path))
    assert done.returncode == 1 and b"[not-found]" in done.stderr
    assert json.loads(hub.command("notify", "list", "--json").stdout)["items"] == []
