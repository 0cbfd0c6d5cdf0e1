"""People's keys in software, tokens too: what OpenSSH and a FIDO authenticator would make, byte by byte.

`sign` makes an SSHSIG blob; every part can be given otherwise than it should be, so that tests can lie in any place.
"""

import base64
import hashlib
import socketserver
import struct
import threading

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_L = 2**252 + 27742317777372353535851937790883648493
P256, ED25519, RSA, P384 = "ecdsa-sha2-nistp256", "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp384"
SK_P256, SK_ED25519 = "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com"
PRESENT, VERIFIED = 1, 4


def string(data):
    return struct.pack(">I", len(data)) + data


def mpint(number):
    if number == 0:
        return string(b"")
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return string((b"\0" if data[0] & 0x80 else b"") + data)


class Key:
    def __init__(self, kind, rng, application=b"ssh:"):
        self.kind, self.application = kind, application
        if "ed25519" in kind:
            self.private = ed25519.Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        elif kind in (P256, SK_P256):
            self.private = ec.derive_private_key(rng.randrange(1, P256_N), ec.SECP256R1())
        elif kind == P384:
            self.private = ec.derive_private_key(rng.randrange(1, 2**380), ec.SECP384R1())
        else:
            self.private = rsa.generate_private_key(65537, 2048)
        self.blob = string(kind.encode()) + self._public()

    @property
    def token(self):
        return self.kind.startswith("sk-")

    def _public(self):
        public = self.private.public_key()
        end = string(self.application) if self.token else b""
        if "ed25519" in self.kind:
            return string(public.public_bytes(Encoding.Raw, PublicFormat.Raw)) + end
        if self.kind == RSA:
            numbers = public.public_numbers()
            return mpint(numbers.e) + mpint(numbers.n)
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return string(self.kind.split("-")[-1].split("@")[0].encode()) + string(point) + end

    def line(self):
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    def _raw(self, data, change):
        """The innermost bytes; change gets (r, s) or the 64 bytes and gives them otherwise."""
        if "ed25519" in self.kind:
            raw = self.private.sign(data)
            return change(raw) if change else raw
        if self.kind == RSA:
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA512())
        digest = hashes.SHA384() if self.kind == P384 else hashes.SHA256()
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
        return change(r, s) if change else mpint(r) + mpint(s)

    def signature(self, data, flags=PRESENT, counter=7, change=None, kind=None):
        """An SSH signature blob over data."""
        end = b""
        if self.token:
            data = (hashlib.sha256(self.application).digest() + struct.pack(">BI", flags, counter)
                    + hashlib.sha256(data).digest())
            end = struct.pack(">BI", flags, counter)
        name = kind or ("rsa-sha2-512" if self.kind == RSA else self.kind)
        return string(name.encode()) + string(self._raw(data, change)) + end

    def sign(self, message, name_space, hash_name="sha512", reserved=b"", version=1, key_blob=None, said_reserved=None,
             said_name_space=None, said_hash=None, **how):
        """An SSHSIG blob; said_* stand in it where they differ from what was signed."""
        digest = hashlib.new(hash_name, message).digest()
        signed = (b"SSHSIG" + string(name_space) + string(reserved) + string(hash_name.encode()) + string(digest))
        return (b"SSHSIG" + struct.pack(">I", version) + string(key_blob or self.blob)
                + string(name_space if said_name_space is None else said_name_space)
                + string(reserved if said_reserved is None else said_reserved)
                + string(hash_name.encode() if said_hash is None else said_hash)
                + string(self.signature(signed, **how)))


def armour(blob, columns=70, end="\n"):
    text = base64.b64encode(blob).decode()
    lines = [text[i:i + columns] for i in range(0, len(text), columns)]
    return end.join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


class Agent:
    """An ssh-agent that holds these keys and signs as their owner's hand at the token would."""

    def __init__(self, path, *keys):
        self.path, self.keys, self.flags, self.counter = path, keys, PRESENT, 0
        agent = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                agent.serve(self.request.makefile("rwb"))

        self.server = socketserver.ThreadingUnixStreamServer(path, Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, stream):
        while head := stream.read(4):
            message = stream.read(struct.unpack(">I", head)[0])
            stream.write(string(self.answer(message)))
            stream.flush()

    def answer(self, message):
        if message[0] == 11:
            return b"\x0c" + struct.pack(">I", len(self.keys)) + b"".join(string(k.blob) + string(b"") for k in self.keys)
        fields, at = [], 1
        for _ in range(2):
            n = struct.unpack(">I", message[at:at + 4])[0]
            fields.append(message[at + 4:at + 4 + n])
            at += 4 + n
        for key in self.keys:
            if message[0] == 13 and key.blob == fields[0]:
                self.counter += 1
                return b"\x0e" + string(key.signature(fields[1], self.flags, self.counter))
        return b"\x05"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
