"""A TUF repository that can be made wrong in every way, the server that it lies on, and build/tests/tuf-client before it.

Written from the specification (1.0.34), not from our code: canonical JSON, keys and signatures are made here."""

import copy
import datetime
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

BUILD = os.environ.get("MAINSTAY_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build"))
CLIENT = os.path.join(os.path.abspath(BUILD), "tests", "tuf-client")
PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
OWN = ("root", "timestamp", "snapshot", "targets")


def canonical(v):
    """OLPC canonical JSON."""
    if v is True or v is False or v is None:
        return {True: "true", False: "false", None: "null"}[v]
    if isinstance(v, int):
        return str(v)
    if isinstance(v, str):
        return '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(v, list):
        return "[" + ",".join(canonical(x) for x in v) + "]"
    return "{" + ",".join(canonical(k) + ":" + canonical(v[k]) for k in sorted(v)) + "}"


def quote(role):
    return urllib.parse.quote(role, safe="~")


def days(n):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=n)).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.cache
def one_rsa_key():
    return rsa.generate_private_key(65537, 2048)  # slow to make; no test needs two


class Key:
    def __init__(self, kind="ecdsa", private=None, keytype=None, salt=32, **more):
        self.kind, self.salt = kind, salt
        if kind == "ecdsa":
            self.private = private or ec.generate_private_key(ec.SECP256R1())
            scheme, public = "ecdsa-sha2-nistp256", self.private.public_key().public_bytes(*PEM).decode()
        elif kind == "rsa":
            self.private = private or one_rsa_key()
            scheme, public = "rsassa-pss-sha256", self.private.public_key().public_bytes(*PEM).decode()
        else:
            self.private = private or ed25519.Ed25519PrivateKey.generate()
            scheme, public = "ed25519", self.private.public_key().public_bytes(*RAW).hex()
        self.object = {"keytype": keytype or kind, "scheme": scheme, "keyval": {"public": public}, **more}
        self.id = hashlib.sha256(canonical(self.object).encode()).hexdigest()

    def sign(self, data):
        if self.kind == "ecdsa":
            return self.private.sign(data, ec.ECDSA(hashes.SHA256())).hex()
        if self.kind == "rsa":
            return self.private.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), self.salt), hashes.SHA256()).hex()
        return self.private.sign(data).hex()


class Repository:
    """What is signed stands in .signed, who signs in .signers; publish() makes files of it, of which the server serves
    .files and the newest .versions.  A file may be a function of the request instead."""

    def __init__(self, consistent=True):
        self.signers = {r: [Key()] for r in OWN}
        self.measured = False  # lists give length and hashes
        self.files, self.asked, self.targets = {}, [], {}
        self.signed = {r: {"_type": r, "spec_version": "1.0.34", "version": 0, "expires": days(30)} for r in OWN}
        self.root = self.signed["root"]
        self.root.update(consistent_snapshot=consistent, keys={}, roles={})
        for role in OWN:
            self.trust(role, self.signers[role])
        self.signed["timestamp"]["meta"] = {"snapshot.json": {"version": 0}}
        self.signed["snapshot"]["meta"] = {}
        self.signed["targets"]["targets"] = {}
        self.publish(*OWN)

    # --- who may sign
    def trust(self, role, keys, threshold=1):
        self.root["roles"][role] = {"keyids": [k.id for k in keys], "threshold": threshold}
        self.root["keys"].update({k.id: k.object for k in keys})
        self.signers[role] = list(keys)

    def rotate(self, role):
        self.trust(role, [Key()])

    def next_root(self, keys=None, threshold=1, by=None):
        """The next root, with these keys of its own, signed by the old and the new ones (or by others)."""
        old = self.signers["root"]
        self.trust("root", keys or old, threshold)
        self.root["version"] += 1
        return self.put("root", self.document("root", by or list({k.id: k for k in [*old, *self.signers["root"]]}.values())))

    def delegate(self, parent, role, paths=None, *, prefixes=None, terminating=False, keys=None, threshold=1):
        """A further delegation; several parents may name one role."""
        keys = keys or self.signers.get(role) or [Key()]
        entry = {"name": role, "keyids": [k.id for k in keys], "threshold": threshold, "terminating": terminating}
        entry.update({"path_hash_prefixes": prefixes} if prefixes is not None else {"paths": paths or ["*"]})
        d = self.signed[parent].setdefault("delegations", {"keys": {}, "roles": []})
        d["keys"].update({k.id: k.object for k in keys})
        d["roles"].append(entry)
        self.make(role, keys)
        return entry

    def make(self, role, keys):
        self.signers.setdefault(role, list(keys))
        self.signed.setdefault(role, {"_type": "targets", "spec_version": "1.0.34", "version": 0, "expires": days(30),
                                      "targets": {}})

    def add(self, role, path, data, algorithms=("sha256",)):
        self.signed[role]["targets"][path] = {"length": len(data), "hashes": {
            a: hashlib.new(a, data).hexdigest() for a in algorithms}}
        self.targets[path] = data

    # --- files
    def document(self, role, signers=None):
        data = canonical(self.signed[role]).encode()
        return {"signatures": [{"keyid": k.id, "sig": k.sign(data)} for k in
                               (self.signers[role] if signers is None else signers)],
                "signed": copy.deepcopy(self.signed[role])}

    def name(self, role, version):
        if role == "timestamp" or (role != "root" and not self.root.get("consistent_snapshot")):
            return quote(role) + ".json"
        return f"{version}.{quote(role)}.json"

    def put(self, role, document, version=None):
        """The bytes of a role, and what the others say of it."""
        data = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
        version = self.signed[role]["version"] if version is None else version
        self.files["metadata/" + self.name(role, version)] = data
        meta = {"version": version}
        if self.measured:
            meta.update(length=len(data), hashes={"sha256": hashlib.sha256(data).hexdigest()})
        if role == "snapshot":
            self.signed["timestamp"]["meta"]["snapshot.json"] = meta
        elif role not in ("root", "timestamp"):
            self.signed["snapshot"]["meta"][role + ".json"] = meta
        return data

    def publish(self, *roles):
        """The next version of these, in an order in which lists come last."""
        delegated = [r for r in roles if r not in OWN]
        for role in [r for r in ("root",) if r in roles] + delegated + [
                r for r in ("targets", "snapshot", "timestamp") if r in roles]:
            self.signed[role]["version"] += 1
            self.put(role, self.document(role))
        for path, data in self.targets.items():
            folder, _, base = path.rpartition("/")
            digests = [hashlib.new(a, data).hexdigest() for a in ("sha256", "sha512")]
            for one in [d + "." + base for d in digests] if self.root.get("consistent_snapshot") else [base]:
                self.files.setdefault("targets/" + (folder + "/" if folder else "") + one, data)

    def publish_all(self):
        self.publish(*[r for r in self.signed if r not in OWN], "targets", "snapshot", "timestamp")

    def break_signature(self, role):
        """Sign something else: the signature is well formed, and wrong."""
        document = self.document(role)
        document["signatures"] = [{"keyid": k.id, "sig": k.sign(b"something else")} for k in self.signers[role]]
        return self.put(role, document)


class Server:
    """Repositories on one port of loopback, each below its number."""

    def __init__(self):
        self.repositories, outer = {}, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = "http://127.0.0.1:%d/" % self.http.server_address[1]

    def mount(self, repository, name=None):
        name = name or str(len(self.repositories) + 1)
        self.repositories[name] = repository
        return self.url + urllib.parse.quote(name, safe="") + "/"

    def answer(self, request):
        name, _, path = request.path.lstrip("/").partition("/")
        repository = self.repositories[urllib.parse.unquote(name)]
        repository.asked.append(path)
        found = repository.files.get(path, repository.files.get(urllib.parse.unquote(path))
                                     if path.startswith("targets/") else None)
        if callable(found):
            found(request)
        elif found is None:
            request.send_error(404)
        else:
            request.send_response(200)
            request.send_header("Content-Length", str(len(found)))
            request.end_headers()
            request.wfile.write(found)

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class Client:
    """The program, its folder D of metadata and T of targets, and a repository."""

    def __init__(self, folder, server, repository, name=None, trust=None):
        self.base, self.repository, self.folder = server.mount(repository, name), repository, folder
        self.server = server
        self.d, self.t = os.path.join(folder, "D"), os.path.join(folder, "T")
        os.makedirs(self.t)
        root = os.path.join(folder, "first-root")
        with open(root, "wb") as f:
            f.write(trust if trust is not None else repository.files["metadata/1.root.json"])
        self.error = ""
        self.started = self.run("--metadata-dir", self.d, "init", root)

    def run(self, *argv, time=None):
        self.repository.asked.clear()
        before = ["faketime", time] if time else []
        done = subprocess.run([*before, CLIENT, *argv], capture_output=True, text=True, timeout=60, check=False)
        self.error = done.stderr
        return done.returncode

    def refresh(self, time=None):
        return self.run("--metadata-url", self.base + "metadata/", "--metadata-dir", self.d, "refresh", time=time)

    def download(self, *names, time=None):
        return self.run("--metadata-dir", self.d, "--metadata-url", self.base + "metadata/",
                        *[w for n in names for w in ("--target-name", n)], "--target-dir", self.t,
                        "--target-base-url", self.base + "targets/", "download", time=time)

    def asked(self):
        return [p.removeprefix("metadata/") for p in self.repository.asked]

    def kept(self, role):
        """The bytes that are trusted, or None."""
        try:
            with open(os.path.join(self.d, quote(role) + ".json"), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def roles(self):
        return sorted(os.listdir(self.d))

    def files(self):
        """The sorted contents of what lies in T, and that nothing came to lie beside T and D."""
        assert sorted(os.listdir(self.folder)) == ["D", "T", "first-root"]
        contents = []
        for name in os.listdir(self.t):
            with open(os.path.join(self.t, name), "rb") as f:
                contents.append(f.read())
        return sorted(contents)


def needs_faketime():
    return not shutil.which("faketime")
