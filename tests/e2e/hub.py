"""A hub in a scratch folder, and a client that speaks to it as a site or an engineer does.

Written against interfaces.md alone and with another library (cryptography) than the hub's, so that the two check each
other: RFC 9421 signatures, canonical JSON, envelopes, SSHSIG (by ssh-keygen), OTLP protobuf by hand.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import sqlite3
import ssl
import struct
import subprocess
import tempfile
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from passphrase import with_passphrase

BUILD = os.environ.get("MAINSTAY_BUILD") or os.path.join(os.path.dirname(__file__), "..", "..", "build")
BIN = os.path.join(BUILD, "bin")
REFUSAL = re.compile(r"\[([a-z-]+)\] \([a-z_/0-9-]+\.c:\d+\)$")


def program(name):
    return os.path.join(BIN, name)


_logs = {}


def log_folder():
    """Where the hubs of the present test module leave what they said: BUILD/log/e2e/hub.MODULE, new in each run."""
    module = os.path.basename(os.environ.get("PYTEST_CURRENT_TEST", "none").split("::")[0]).removesuffix(".py")
    if module not in _logs:
        _logs[module] = os.path.join(BUILD, "log", "e2e", "hub." + module)
        shutil.rmtree(_logs[module], ignore_errors=True)
        os.makedirs(_logs[module])
    return _logs[module]


# --- messages --------------------------------------------------------------------------------------------------


def canonical(value):
    """OLPC canonical JSON."""
    if value is True or value is False or value is None:
        return {True: b"true", False: b"false", None: b"null"}[value]
    if isinstance(value, int):
        return str(value).encode()
    if isinstance(value, str):
        return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    if isinstance(value, list):
        return b"[" + b",".join(canonical(v) for v in value) + b"]"
    if isinstance(value, dict):
        members = sorted((k.encode(), v) for k, v in value.items())
        return b"{" + b",".join(canonical(k.decode()) + b":" + canonical(v) for k, v in members) + b"}"
    raise TypeError(type(value))


def now(offset_s=0):
    t = time.time() + offset_s
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + ".%03dZ" % (int(t * 1000) % 1000)


class Key:
    """A daemon's Ed25519 key."""

    def __init__(self, seed=None):
        self.private = ed25519.Ed25519PrivateKey.from_private_bytes(seed or os.urandom(32))
        self.raw = self.private.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.hex = self.raw.hex()
        self.keyid = hashlib.sha256(self.raw).hexdigest()

    def seal(self, word, payload):
        data = canonical(payload)
        signature = self.private.sign(("%s@mainstay" % word).encode() + b"\0" + data)
        return {"payload": base64.b64encode(data).decode(),
                "sigs": [{"keyid": self.keyid, "sig": signature.hex()}]}


class Person:
    """An engineer's OpenSSH key in a folder; ssh-keygen signs."""

    def __init__(self, folder, name):
        self.name = name
        self.file = os.path.join(folder, name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.file], check=True)
        with open(self.file + ".pub") as f:
            self.line = " ".join(f.read().split()[:2])
        self.keyid = hashlib.sha256(base64.b64decode(self.line.split()[1])).hexdigest()

    def seal(self, word, payload):
        data = canonical(payload)
        done = subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "%s@mainstay" % word, "-f", self.file],
                              input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        blob = "".join(done.stdout.decode().split("\n")[1:-2])
        return {"payload": base64.b64encode(data).decode(), "sigs": [{"keyid": self.keyid, "sig": blob}]}


# --- HTTP --------------------------------------------------------------------------------------------------------


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self.headers.get("mainstay-reason")

    @property
    def committed(self):
        value = self.headers.get("mainstay-committed")
        return None if value is None else int(value)


class Client:
    """Signs as `key` (None: not at all) and insists on replies signed by the hub's reply key over its nonce."""

    def __init__(self, hub, key=None):
        self.hub, self.key = hub, key

    def sign(self, method, path, headers, body, created=None, nonce=None, life=300, digest=None):
        created = int(created if created is not None else time.time())
        nonce = nonce or secrets.token_hex(16)
        target, _, query = path.partition("?")
        covered = [("@method", method), ("@authority", self.hub.authority), ("@path", target),
                   ("@query", "?" + query)]
        if body:
            digest = digest or hashlib.sha256(body).digest()
            headers["Content-Digest"] = "sha-256=:%s:" % base64.b64encode(digest).decode()
        for name in ("content-type", "content-encoding", "content-digest", "mainstay-stream", "mainstay-sequence"):
            for header, value in headers.items():
                if header.lower() == name:
                    covered.append((name, value))
        params = '(%s);created=%d;expires=%d;nonce="%s";keyid="%s";tag="mainstay-v1"' % (
            " ".join('"%s"' % name for name, _ in covered), created, created + life, nonce, self.key.keyid)
        base = "".join('"%s": %s\n' % c for c in covered) + '"@signature-params": ' + params
        headers["Signature-Input"] = "sig=" + params
        headers["Signature"] = "sig=:%s:" % base64.b64encode(self.key.private.sign(base.encode())).decode()
        return nonce

    def request(self, method, path, body=b"", headers=None, check=True, timeout=70, **how):
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = canonical(body)
            headers.setdefault("Content-Type", "application/json")
        if self.key:
            nonce = self.sign(method, path, headers, body, **how)
        else:
            nonce = secrets.token_hex(16)
            headers.setdefault("Mainstay-Nonce", nonce)
        return self.send(method, path, body, headers, nonce if check else None, timeout)

    def send(self, method, path, body, headers, nonce, timeout=70):
        context = ssl.create_default_context(cafile=self.hub.ca)
        host, port = self.hub.authority.rsplit(":", 1)
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=timeout)
        try:
            connection.request(method, path, body=body or None, headers=headers)
            answer = connection.getresponse()
            reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()
        if nonce:
            self.verify(reply, nonce)
        return reply

    def verify(self, reply, nonce):
        text = reply.headers["signature-input"]
        match = re.fullmatch(r'sig=(\(("[^"]+"(?: "[^"]+")*)\);.*)', text)
        assert match, text
        names = [n.strip('"') for n in match.group(2).split()]
        assert "@status" in names and "content-digest" in names
        assert ("mainstay-committed" in names) == ("mainstay-committed" in reply.headers)
        assert 'nonce="%s"' % nonce in text and 'tag="mainstay-v1"' in text
        values = dict(reply.headers, **{"@status": str(reply.status)})
        base = "".join('"%s": %s\n' % (n, values[n]) for n in names) + '"@signature-params": ' + match.group(1)
        signature = base64.b64decode(reply.headers["signature"][len("sig=:"):-1])
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.hub.facts["reply"])).verify(
                signature, base.encode())
        except InvalidSignature:
            raise AssertionError("the reply is not signed by the hub's reply key")
        digest = base64.b64encode(hashlib.sha256(reply.body).digest()).decode()
        assert reply.headers["content-digest"] == "sha-256=:%s:" % digest


# --- OTLP ----------------------------------------------------------------------------------------------------------


def varint(n):
    out = b""
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(key, value):
    return field(1, key.encode()) + field(2, field(1, value.encode()))


def otlp_metrics(site, points, service="redis"):
    """points: [(name, value, time_ns)] as gauges."""
    metrics = b""
    for name, value, time_ns in points:
        point = varint(3 << 3 | 1) + struct.pack("<Q", time_ns) + varint(4 << 3 | 1) + struct.pack("<d", value)
        metrics += field(2, field(1, name.encode()) + field(5, field(1, point)))
    resource = field(1, field(1, attribute("mainstay.site", site)) + field(1, attribute("service.name", service)))
    return field(1, resource + field(2, metrics))


def otlp_alert(site, name, state, since, text="", service="redis", severity="critical"):
    record = varint(1 << 3 | 1) + struct.pack("<Q", time.time_ns()) + varint(2 << 3) + varint(17)
    record += field(5, field(1, text.encode()))
    for key, value in (("alert", name), ("service", service), ("state", state), ("since", since),
                       ("severity", severity)):
        record += field(6, attribute(key, value))
    record += field(12, b"mainstay.alert")
    resource = field(1, field(1, attribute("mainstay.site", site)))
    return field(1, resource + field(2, field(2, record)))


# --- sites, engineers, hub --------------------------------------------------------------------------------------------


class Site:
    """What a site sends: enrolment, batches, polls."""

    def __init__(self, hub, site="acme-1", customer="acme", expires="1h"):
        self.hub, self.site, self.customer = hub, site, customer
        self.token = hub.token(customer, site, expires)
        self.key, self.audit, self.courier = Key(), Key(), Key()
        self.client = Client(hub, self.courier)
        self.sequence = {}

    def daemon(self, days=6, courier=None):
        return self.key.seal("daemon", {"v": 1, "site": self.site, "role": "courier",
                                        "key": (courier or self.courier).hex, "not_after": now(days * 86400)})

    def enrolment(self, secret=None, **changes):
        message = b"enrol@mainstay\0" + self.site.encode() + b"\0" + self.key.raw + self.audit.raw
        mac = hmac.new(bytes.fromhex(secret or self.token["secret"]), message, hashlib.sha256).hexdigest()
        payload = {"v": 1, "site": self.site, "key": self.key.hex, "audit_key": self.audit.hex, "hmac": mac,
                   "daemon": self.daemon(), "platform": "linux-x86_64", "time": now()}
        payload.update(changes)
        return self.key.seal("enrol", payload)

    def enrol(self, **changes):
        return Client(self.hub).request("POST", "/v1/enrol", self.enrolment(**changes))

    def post(self, path, stream, body, content_type, sequence=None, encoding=None, **how):
        if sequence is None:
            sequence = self.sequence.get(stream, 0) + 1
        headers = {"Content-Type": content_type, "Mainstay-Stream": stream, "Mainstay-Sequence": str(sequence)}
        if encoding:
            headers["Content-Encoding"] = encoding
        reply = self.client.request("POST", path, body, headers, **how)
        if reply.status == 200:
            self.sequence[stream] = max(self.sequence.get(stream, 0), sequence)
        return reply

    def metrics(self, points, **how):
        return self.post("/v1/metrics", "metrics", otlp_metrics(self.site, points), "application/x-protobuf", **how)

    def alert(self, name, state, since, text="", **how):
        return self.post("/v1/logs", "alerts", otlp_alert(self.site, name, state, since, text),
                         "application/x-protobuf", **how)

    def heartbeat(self, services=(), **how):
        payload = {"v": 1, "site": self.site, "epoch": "00" * 16, "services": list(services),
                   "platform": "linux-x86_64", "counter": self.sequence.get("heartbeat", 0) + 1,
                   "audit": {"size": 0, "root": "sha256:" + hashlib.sha256(b"").hexdigest()}, "time": now()}
        return self.post("/v1/heartbeat", "heartbeat", canonical(self.key.seal("statement", payload)),
                         "application/json", **how)

    def poll(self, after=0, wait=0, **how):
        return self.client.request("GET", "/v1/mailbox?after=%d&wait=%d" % (after, wait), **how)


class Engineer:
    """A login at a hub."""

    def __init__(self, hub, person, customers):
        self.hub, self.person, self.key = hub, person, Key()
        self.customers = customers
        self.client = Client(hub, self.key)

    def login(self, **changes):
        asked = Client(self.hub).request("GET", "/v1/login?engineer=" + self.person.name).json()
        payload = {"v": 1, "hub": asked["hub"], "engineer": self.person.name, "key": self.key.hex,
                   "customers": self.customers, "nonce": asked["nonce"], "not_after": now(8 * 3600)}
        payload.update(changes)
        return Client(self.hub).request("POST", "/v1/login", self.person.seal("login", payload))

    def get(self, path, **how):
        return self.client.request("GET", path, **how)

    def post(self, path, body=b"", **how):
        return self.client.request("POST", path, body, **how)

    def points(self, site, name, service=None):
        """[[time, value]] of the last hour, and of a day to come, of a metric that is one series at most."""
        more = "&service=" + service if service else ""
        reply = self.get("/v1/fleet/sites/%s/metrics?name=%s%s" % (site, name, more))
        assert reply.status == 200, reply.body
        items = reply.json()["items"]
        assert len(items) <= 1
        return items[0]["points"] if items else []


class Hub:
    """`mainstay-hubd` on a free port of loopback, with a repository made by mainstay-release."""

    def __init__(self, folder=None, name="test-hub"):
        self.own = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="hub.")
        self.state = os.path.join(self.folder, "D")
        self.repo = os.path.join(self.folder, "repo")
        self.keys = os.path.join(self.folder, "keys")
        self.name, self.process, self.people = name, None, {}
        self.log = open(os.path.join(log_folder(), os.path.basename(self.folder) + ".log"), "ab")
        os.makedirs(self.repo, exist_ok=True)
        facts = os.path.join(self.folder, "facts.json")
        self.command("init", "--name", name, "--listen", "127.0.0.1:0", "--repo", self.repo, "--facts", facts)
        with open(facts) as f:
            self.facts = json.load(f)
        self.url = self.facts["url"]
        self.authority = self.url.split("://")[1]
        self.ca = os.path.join(self.state, "ca.pem")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.close()

    def command(self, *args, check=True):
        argv = [args[0], "--state", self.state] + list(args[1:])
        done = subprocess.run([program("mainstay-hubd")] + argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=os.environ | {"MAINSTAY_DEBUG": "1"}, check=False)
        with open(os.path.join(log_folder(), "commands.log"), "ab") as log:
            log.write(b"$ mainstay-hubd %s\n%s" % (" ".join(argv).encode(), done.stderr))
        if check and done.returncode != 0:
            raise AssertionError(done.stderr.decode())
        return done

    def token(self, customer, site, expires="1h"):
        done = self.command("token", "--customer", customer, "--site", site, "--expires", expires)
        return json.loads(done.stdout)

    # -- the repository --

    def release(self, *args):
        done = subprocess.run([program("mainstay-release")] + with_passphrase(args), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, "%s: %s" % (" ".join(args), done.stdout.decode())

    def make_repo(self):
        """Keys, root and an empty people document's delegation, by mainstay-release."""
        self.release("keys", "new", "--dir", self.keys)
        self.release("init", self.repo, "--root-keys", "2of3", "--keys", self.keys)

    def make_person(self, name, roles="support,enrol", customers="*"):
        """An engineer, signed into people.json by the officers."""
        person = Person(self.folder, name)
        self.release("people", "set", self.repo, "--name", name, "--key", person.file + ".pub", "--roles", roles,
                     "--customers", customers, "--keys", self.keys)
        self.release("people", "sign", self.repo, "--keys", self.keys)
        self.people[name] = person
        return person

    def revoke(self, name):
        self.release("people", "set", self.repo, "--name", name, "--revoke", "--reason", "test", "--keys", self.keys)
        self.release("people", "sign", self.repo, "--keys", self.keys)

    def engineer(self, name, customers=("*",), **how):
        e = Engineer(self, self.people.get(name) or self.make_person(name, **how), list(customers))
        reply = e.login()
        assert reply.status == 200, reply.body
        return e

    def accepted_site(self, engineer, site="acme-1", customer="acme"):
        """A site that enrolled and that the engineer accepted."""
        s = Site(self, site, customer)
        assert s.enrol().status == 200
        record = engineer.person.seal("site", {
            "v": 1, "site": site, "customer": customer, "key": s.key.hex, "platform": "linux-x86_64", "name": site,
            "labels": {}, "time": now(), "engineer": engineer.person.name})
        reply = engineer.post("/v1/fleet/sites/%s/record" % site, record)
        assert reply.status == 200, reply.body
        return s

    # -- the process --

    def start(self, timeout=20):
        read, write = os.pipe()
        os.set_inheritable(write, True)
        self.process = subprocess.Popen(
            [program("mainstay-hubd"), "run", "--state", self.state, "--ready-fd", str(write)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, pass_fds=[write])
        os.close(write)
        os.set_blocking(read, False)
        deadline, got = time.time() + timeout, b""
        while got != b"READY\n":
            assert time.time() < deadline, "no READY; see %s" % self.log.name
            assert self.process.poll() is None, "ended; see %s" % self.log.name
            try:
                got += os.read(read, 16)
            except BlockingIOError:
                pass
            time.sleep(0.02)
        os.close(read)
        assert self.process.stdout.readline().decode().strip() == self.url

    def stop(self, how=signal.SIGTERM):
        if self.process:
            self.process.send_signal(how)
            code = self.process.wait(20)
            self.process.stdout.close()
            self.process = None
            return code
        return None

    def close(self):
        try:
            if self.process and self.process.poll() is None:
                assert self.stop() == 0
        finally:
            self.log.close()
            if self.own and not os.environ.get("KEEP"):
                shutil.rmtree(self.folder, ignore_errors=True)

    def refusals(self):
        """The refusals that the hub logged up to now: [(reason, line)]."""
        with open(self.log.name, errors="replace") as f:
            return [(hit.group(1), line) for line in f for hit in [REFUSAL.search(line)] if hit]

    def rows(self, sql, *args, customer="acme"):
        """Read a customer's file (or fleet.db) from beside the hub."""
        name = "customers/%s.db" % customer if customer else "fleet.db"
        db = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.state, name), uri=True)
        try:
            return db.execute(sql, args).fetchall()
        finally:
            db.close()
