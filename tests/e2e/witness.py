"""A witness (c2sp.org/tlog-witness) and a reader of proofs, written from the specifications with nothing of ours: the
second opinion on what `appliance/audit` does."""

import base64
import hashlib
import http.server
import ssl
import struct
import threading
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

DASH = "\u2014 "


def sha(data):
    return hashlib.sha256(data).digest()


def raw(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(name, kind, public):
    return sha(name.encode() + b"\n" + bytes([kind]) + public)[:4]


def vkey(name, kind, public):
    return f"{name}+{key_id(name, kind, public).hex()}+{base64.b64encode(bytes([kind]) + public).decode()}"


class Verifier:
    def __init__(self, text):
        self.name, hexid, b64 = text.split("+", 2)
        data = base64.b64decode(b64, validate=True)
        self.kind, self.public = data[0], data[1:]
        assert key_id(self.name, self.kind, self.public).hex() == hexid

    def signed(self, note):
        """Did this key sign the note?  None where it has no line; False where its line is wrong."""
        text, lines = split(note)
        found = None
        for line in lines:
            name, b64 = line[len(DASH):].split(" ")
            blob = base64.b64decode(b64, validate=True)
            if name != self.name or blob[:4] != key_id(self.name, self.kind, self.public):
                continue
            message, sig = text.encode(), blob[4:]
            if self.kind == 4:
                message = b"cosignature/v1\ntime %d\n" % struct.unpack(">Q", sig[:8])[0] + message
                sig = sig[8:]
            try:
                Ed25519PublicKey.from_public_bytes(self.public).verify(sig, message)
                found = True
            except InvalidSignature:
                return False
        return found


def split(note):
    at = note.rindex("\n\n")
    return note[:at + 1], note[at + 2:].splitlines()


def checkpoint(note):
    origin, size, root = split(note)[0].split("\n")[:3]
    assert str(int(size)) == size
    return origin, int(size), base64.b64decode(root, validate=True)


def node(left, right):
    return sha(b"\1" + left + right)


def inclusion(leaf, index, size, proof):
    """The root to which it leads (RFC 9162, 2.1.3.2), or None."""
    if index >= size:
        return None
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def consistent(old, old_root, size, root, proof):
    """RFC 9162, 2.1.4.2."""
    if old == 0:
        return not proof
    if old == size:
        return not proof and old_root == root
    if not proof or old > size:
        return False
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    fn, sn = old - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == root


class Proof:
    """c2sp.org/tlog-proof@v1, its extra being the record whose SHA-256 is the entry."""

    def __init__(self, text):
        head, self.note = text.split("\n\n", 1)
        magic, extra, index, *hashes = head.split("\n")
        assert magic == "c2sp.org/tlog-proof@v1" and extra.startswith("extra ") and index.startswith("index ")
        self.record = base64.b64decode(extra[6:], validate=True)
        self.index = int(index[6:])
        self.hashes = [base64.b64decode(h, validate=True) for h in hashes]

    def holds(self):
        _, size, root = checkpoint(self.note)
        return inclusion(sha(b"\0" + sha(self.record)), self.index, size, self.hashes) == root


class Witness:
    """Decides by the book; serve() puts it on https."""

    def __init__(self, name):
        self.name, self.key = name, Ed25519PrivateKey.generate()
        self.logs, self.heads, self.seen = {}, {}, []
        self.vkey = vkey(name, 4, raw(self.key))
        self.lie = None  # (size, note): what it says and shows instead
        self.server = None

    def trust(self, log_vkey):
        log = Verifier(log_vkey)
        self.logs[log.name] = log

    def add_checkpoint(self, body):
        head, note = body.split("\n\n", 1)
        old, *lines = head.split("\n")
        assert old.startswith("old ") and len(lines) <= 63
        old, proof = int(old[4:]), [base64.b64decode(line, validate=True) for line in lines]
        origin, size, root = checkpoint(note)
        if origin not in self.logs:
            return 404, ""
        if not self.logs[origin].signed(note):
            return 403, ""
        if old > size:
            return 400, ""
        if self.lie:
            return 409, f"{self.lie[0]}\n"
        stored, stored_root, _ = self.heads.get(origin, (0, sha(b""), ""))
        if old != stored:
            return 409, f"{stored}\n"
        if not consistent(old, stored_root, size, root, proof):
            return 422, ""
        line = self.line(note)
        self.heads[origin] = (size, root, note + line)
        return 200, line

    def line(self, note):
        now = int(time.time())
        sig = self.key.sign(b"cosignature/v1\ntime %d\n" % now + split(note)[0].encode())
        blob = key_id(self.name, 4, raw(self.key)) + struct.pack(">Q", now) + sig
        return f"{DASH}{self.name} {base64.b64encode(blob).decode()}\n"

    def show(self, digest):
        if self.lie:
            return self.lie[1]
        return next((note for origin, (_, _, note) in self.heads.items() if sha(origin.encode()).hex() == digest), None)

    def serve(self, cert, key):
        witness = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, text, kind="text/plain"):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                witness.seen.append((self.path, dict(self.headers), body))
                if self.path != "/w/add-checkpoint":
                    return self.answer(404, "")
                status, text = witness.add_checkpoint(body)
                self.answer(status, text, "text/x.tlog.size" if status == 409 else "text/plain")

            def do_GET(self):
                parts = self.path.split("/")
                note = witness.show(parts[2]) if len(parts) == 4 and parts[3] == "checkpoint" else None
                self.answer(200 if note else 404, note or "")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://127.0.0.1:{self.server.server_port}/w"

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
