"""Our SSHSIG verifier and ssh-keygen must say the same of every signature, however it was bent.

Where they are meant to differ, appliance/trust/README.md says so; each such class is named here, and a difference that
is in none of them fails.  SSHSIG_COUNT says how many cases (500), SEED which.
"""

import base64
import concurrent.futures
import os
import random
import struct
import subprocess
import tempfile
from collections import Counter

import pytest

from authenticator import (ED25519, ED25519_L, P256, P256_N, P384, PRESENT, RSA, SK_ED25519, SK_P256, VERIFIED, Key,
                           armour, mpint, string)

BUILD = os.environ.get("MAINSTAY_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
ANSWER = os.path.join(BUILD, "tests", "sshsig-answer")
COUNT = int(os.environ.get("SSHSIG_COUNT", "500"))
SEED = int(os.environ.get("SEED", "1"))
OURS = (ED25519, P256, SK_ED25519, SK_P256)
NS = b"request@mainstay"
BEGIN = "-----BEGIN SSH SIGNATURE-----"


class Case:
    def __init__(self, what, key, text, message=b"restart redis\n", name_space=NS, blob=None):
        self.what, self.key, self.text, self.message, self.name_space = what, key, text, message, name_space
        self.blob, self.listed = blob, False


# --- making them -----------------------------------------------------------------------------------------------------
def whole(rng, key):
    return key.sign(b"restart redis\n", NS, rng.choice(("sha512", "sha256")), flags=PRESENT)


def bit(rng, blob):
    at = rng.randrange(len(blob) * 8)
    return blob[:at // 8] + bytes([blob[at // 8] ^ 1 << at % 8]) + blob[at // 8 + 1:]


def cut_or_grow(rng, blob):
    at, n = rng.randrange(len(blob)), rng.randrange(1, 9)
    return rng.choice((blob[:at], blob[n:], blob[:at] + blob[at + n:], blob + rng.randbytes(n),
                       blob[:at] + rng.randbytes(n) + blob[at:], blob[:at] + blob[at:at + n] + blob[at:]))


def length(rng, blob):
    """Another length in front of one of the outer fields."""
    at, fields = 10, []
    for _ in range(5):
        fields.append(at)
        at += 4 + struct.unpack(">I", blob[at:at + 4])[0]
    at = rng.choice(fields)
    now = struct.unpack(">I", blob[at:at + 4])[0]
    new = rng.choice((0, now - 1, now + 1, now + 256, 0x7FFFFFFF, 0xFFFFFFFF, now ^ 4)) % 2**32
    return blob[:at] + struct.pack(">I", new) + blob[at + 4:]


def text_edit(rng, text):
    lines = text.split("\n")
    at = rng.randrange(len(text))
    edits = (
        lambda: text.replace("\n", "\r\n"),
        lambda: text.rstrip("\n"),
        lambda: rng.choice((" ", "\n", "\t", "x", "From: me\n")) + text,
        lambda: text + rng.choice((" ", "\n\n", "bye\n", "-----END SSH SIGNATURE-----\n", text)),
        lambda: text[:at] + rng.choice((" ", "\n", "\t", "=", "-", "A", "*", "é")) + text[at:],
        lambda: text[:at] + text[at + 1:],
        lambda: text[:at] + chr(rng.randrange(32, 127)) + text[at + 1:],
        lambda: text.replace("SSH SIGNATURE", rng.choice(("SSH PUBLIC KEY", "ssh signature", "PGP SIGNATURE"))),
        lambda: text.replace("-----END", rng.choice(("----END", "-----FIN", "", "\n-----END", " -----END"))),
        lambda: "\n".join(lines[:1] + ["Comment: x", ""] + lines[1:]),
        lambda: "\n".join(lines[:-2] + ["====", lines[-2], ""]),
        lambda: armour(base64.b64decode("".join(lines[1:-2])), rng.choice((1, 64, 76, 4000))),
        lambda: lines[0] + "".join(lines[1:-2]) + "\n" + lines[-2] + "\n",
        lambda: "\n".join(lines[:-3] + [lines[-3] + lines[-2], ""]),
    )
    return rng.choice(edits)()


def numbers(rng, key, message):
    """The innermost numbers, encoded or chosen otherwise than they should be."""
    if "ed25519" in key.kind:
        def change(raw):
            s = int.from_bytes(raw[32:], "little")
            return rng.choice((raw[:32] + (s + ED25519_L).to_bytes(32, "little"), raw[:32] + bytes(32), raw[:-1],
                               raw + b"\0", b"", bytes(64), b"\1" + bytes(63)))
    elif key.kind == RSA:
        change = None
    else:
        def change(r, s):
            n = P256_N if "256" in key.kind else 2**384
            padded = string(b"\0\0" + s.to_bytes(48, "big").lstrip(b"\0"))
            bare = s.to_bytes(48, "big").lstrip(b"\0")
            return rng.choice((mpint(r) + mpint(n - s), mpint(r) + padded, string(b"") + mpint(s), mpint(0) + mpint(0),
                               mpint(r) + string(bare), mpint(r) + mpint(s + n), mpint(r + n) + mpint(s), mpint(r),
                               mpint(r) + mpint(s) + b"\0", mpint(s) + mpint(r)))
    return key.sign(message, NS, change=change)


def strange_public(rng, key):
    if "ed25519" in key.kind:
        raw = rng.choice((bytes(32), b"\1" + bytes(31), b"\xff" * 32, b"\xed" + b"\xff" * 30 + b"\x7f", rng.randbytes(32)))
        blob = string(key.kind.encode()) + string(raw)
    elif key.kind in (P256, SK_P256):
        point = rng.choice((b"\4" + bytes(64), b"\4" + rng.randbytes(64), b"\0", b"\2" + key.blob[-32:]))
        blob = string(key.kind.encode()) + string(b"nistp256") + string(point)
    else:
        return key.blob[:-3]
    return blob + (string(key.application) if key.token else b"")


def make(rng, keys):
    """One case."""
    key = rng.choice([keys[k] for k in OURS] * 4 + list(keys.values()))
    message = b"restart redis\n"
    kind = rng.randrange(17)
    how, blob, text, name_space = "whole", whole(rng, key), None, NS
    if kind <= 1:
        how, blob = "bit", bit(rng, blob)
    elif kind == 2:
        how, blob = "cut", cut_or_grow(rng, blob)
    elif kind == 3:
        how, blob = "length", length(rng, blob)
    elif kind <= 5:
        how, text = "armour", text_edit(rng, armour(blob))
    elif kind == 6:
        how, name_space = "namespace", rng.choice((b"permit@mainstay", b"request@mainstay2", b"REQUEST@mainstay", b"file"))
    elif kind == 7:
        said = rng.choice((b"", b"permit@mainstay", NS + b"\0", NS[:-1], b"n" * 65))
        how, blob = "said namespace", key.sign(message, said if rng.random() < .5 else NS, said_name_space=said)
        name_space = rng.choice((NS, said.rstrip(b"\0") or NS))
    elif kind == 8:
        how, blob = "hash", key.sign(message, NS, rng.choice(("sha256", "sha512", "sha1", "sha384", "md5")),
                                     said_hash=rng.choice((None, b"sha256", b"sha512", b"sha1", b"", b"SHA512")))
    elif kind == 9:
        how, blob = "version", key.sign(message, NS, version=rng.choice((0, 2, 2**31, 2**32 - 1)))
    elif kind == 10:
        how, blob = "reserved", key.sign(message, NS, reserved=rng.choice((b"", b"x")), said_reserved=rng.choice((b"x", b"")))
    elif kind <= 12:
        how, blob = "numbers", numbers(rng, key, message)
    elif kind == 13:
        other = rng.choice(list(keys.values()))
        how, blob = "other key", key.sign(message, NS, key_blob=rng.choice((other.blob, strange_public(rng, key))))
    elif kind == 14:
        how, blob = "type", key.sign(message, NS, kind=rng.choice((
            *OURS, "rsa-sha2-256", "ssh-rsa", "webauthn-sk-ecdsa-sha2-nistp256@openssh.com", "", P384)))
    elif kind == 15 and key.token:
        how, blob = "token", key.sign(message, NS, flags=rng.choice((0, PRESENT, VERIFIED, PRESENT | VERIFIED, 0x80, 0xC1)),
                                      counter=rng.choice((0, 1, 2**32 - 1)))
    elif kind == 15:
        how, message = "message", rng.choice((b"", message[:-1], message + b"\n", b"x" * 100000))
    if text is None:
        text = armour(blob)
    case = Case(how, key, text, message, name_space, blob)
    case.listed = rng.random() < .3
    return case


# --- asking ----------------------------------------------------------------------------------------------------------
def ours(cases):
    data = b"".join(string(c.text.encode()) + string(c.message) + string(c.name_space)
                    + string(c.key.line().encode() if c.listed else b"") for c in cases)
    with tempfile.TemporaryFile() as f:
        f.write(data)
        f.seek(0)
        done = subprocess.run([ANSWER], stdin=f, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=300)
    return done.stdout.decode().split()


def theirs(folder, number, case):
    path = folder / f"{number}.sig"
    path.write_text(case.text, encoding="utf-8", newline="")
    words = ["check-novalidate"]
    if case.listed:
        allowed = folder / f"{number}.allowed"
        allowed.write_text(f"me {case.key.line()}\n")
        words = ["verify", "-f", str(allowed), "-I", "me"]
    done = subprocess.run(["ssh-keygen", "-Y", *words, "-n", case.name_space.decode(), "-s", str(path)],
                          input=case.message, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)
    for name in (path, folder / f"{number}.allowed"):
        name.unlink(missing_ok=True)
    return done.returncode == 0


# --- where they are meant to differ ----------------------------------------------------------------------------------
class Parts:
    """What a lenient reader finds in a text; None where nothing can be read."""

    def __init__(self, text):
        begin, end = text.find("-----BEGIN SSH SIGNATURE-----"), text.find("\n-----END SSH SIGNATURE-----")
        inner = "".join(text[begin + 29:end].split())
        blob = base64.b64decode(inner)
        self.at, self.blob = 10, blob
        self.version = struct.unpack(">I", blob[6:10])[0]
        self.key, self.name_space, self.reserved, self.hash, self.sig = (self.field() for _ in range(5))
        self.blob, self.at = self.key, 0
        self.kind = self.field().decode()
        if self.kind in (P256, SK_P256):
            self.field()
        self.point = self.field() if self.kind in OURS else b""
        self.blob, self.at = self.sig, 0
        self.sig_kind, self.inner = self.field().decode(), self.field()
        self.flags = self.sig[self.at] if self.kind.startswith("sk-") and self.at < len(self.sig) else None

    def field(self):
        n = struct.unpack(">I", self.blob[self.at:self.at + 4])[0]
        data = self.blob[self.at + 4:self.at + 4 + n]
        self.at += 4 + n
        return data


def minimal(inner):
    """Are both numbers in their one encoding?"""
    at = 0
    for _ in range(2):
        n = struct.unpack(">I", inner[at:at + 4])[0]
        data = inner[at + 4:at + 4 + n]
        if not data or (data[0] == 0 and (len(data) == 1 or not data[1] & 0x80)):
            return False
        at += 4 + n
    return True


def only_theirs(case):
    """Why ssh-keygen takes what we refuse, in the words of appliance/trust/README.md."""
    lines = case.text.rstrip().split("\n")
    if not case.text.rstrip().endswith("\n-----END SSH SIGNATURE-----") or lines.count("-----END SSH SIGNATURE-----") > 1:
        return "text behind the armour"
    parts = Parts(case.text)
    if parts.kind not in OURS:
        return "a key type that we never take"
    if parts.version == 0:
        return "version 0"
    if parts.reserved:
        return "a reserved field with something in it"
    if any(text.endswith(b"\0") for text in (parts.name_space, parts.hash)):
        return "a NUL behind a text"
    if len(parts.name_space) > 64:
        return "a namespace over 64 bytes"
    if parts.flags is not None and not parts.flags & PRESENT:
        return "a token whose user was not there"
    if "ed25519" in parts.kind and int.from_bytes(parts.inner[32:], "little") >= ED25519_L:
        return "an Ed25519 number that is not reduced"
    if "ed25519" not in parts.kind and not minimal(parts.inner):
        return "a number with leading zeros"
    if "webauthn" in parts.sig_kind:
        return "WebAuthn"
    return None


def only_ours(case):
    """The same the other way round."""
    if not case.text.startswith(BEGIN + "\n") and case.text.split() and case.text.lstrip().startswith(BEGIN):
        return "other white space around the armour's first line"
    return None


def test_ssh_keygen_says_the_same(tmp_path):
    rng = random.Random(SEED)
    keys = {kind: Key(kind, rng) for kind in (*OURS, RSA, P384)}
    cases = [make(rng, keys) for _ in range(COUNT)]
    mine = ours(cases)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        their = list(pool.map(lambda i: theirs(tmp_path, i, cases[i]), range(COUNT)))
    assert len(mine) == COUNT
    kinds, meant, bad = Counter(), Counter(), []
    for i, (case, we, they) in enumerate(zip(cases, mine, their)):
        kinds[case.what, "taken" if they else "refused"] += 1
        if (we == "ok") == they:
            continue
        why = only_theirs(case) if they else only_ours(case)
        if why:
            meant[why] += 1
        else:
            bad.append(f"case {i} ({case.what}, {case.key.kind}): we say {we}, ssh-keygen {they}\n{case.text!r}")
    print(f"SEED={SEED}: {COUNT} signatures, {sum(their)} taken by ssh-keygen, {mine.count('ok')} by us")
    for (what, end), n in sorted(kinds.items()):
        print(f"  {what}, {end}: {n}")
    for why, n in sorted(meant.items()):
        print(f"  meant to differ: {why}: {n}")
    assert not bad, "\n".join(bad[:5])
    assert sum(their) > COUNT // 20 and mine.count("ok") > COUNT // 20


# Each class of difference, made on purpose: it is still there, and goes the way it is meant to.
def classes():
    message, end = b"restart redis\n", "-----END SSH SIGNATURE-----\n"

    def lower(raw):
        return raw[:32] + (int.from_bytes(raw[32:], "little") + ED25519_L).to_bytes(32, "little")

    return [
        ("a key type that we never take", RSA, lambda k: armour(k.sign(message, NS)), True),
        ("a key type that we never take", P384, lambda k: armour(k.sign(message, NS)), True),
        ("text behind the armour", ED25519, lambda k: armour(k.sign(message, NS)) + "bye\n", True),
        ("text behind the armour", ED25519, lambda k: armour(k.sign(message, NS)) + end, True),
        ("version 0", ED25519, lambda k: armour(k.sign(message, NS, version=0)), True),
        ("a reserved field with something in it", P256, lambda k: armour(k.sign(message, NS, said_reserved=b"x")), True),
        ("a token whose user was not there", SK_ED25519, lambda k: armour(k.sign(message, NS, flags=VERIFIED)), True),
        ("a token whose user was not there", SK_P256, lambda k: armour(k.sign(message, NS, flags=0)), True),
        ("an Ed25519 number that is not reduced", ED25519, lambda k: armour(k.sign(message, NS, change=lower)), True),
        ("a number with leading zeros", P256, lambda k: armour(k.sign(message, NS, change=lambda r, s: mpint(r) + string(
            b"\0\0" + s.to_bytes(32, "big").lstrip(b"\0")))), True),
        ("a NUL behind a text", ED25519, lambda k: armour(k.sign(message, NS, said_name_space=NS + b"\0")), True),
        ("a namespace over 64 bytes", ED25519, lambda k: armour(k.sign(message, b"n" * 65)), True),
        ("other white space around the armour's first line", ED25519, lambda k: "\n" + armour(k.sign(message, NS)), False),
        ("other white space around the armour's first line", ED25519,
         lambda k: armour(k.sign(message, NS)).replace("\n", "\r\n"), False),
    ]


@pytest.mark.parametrize("row", classes(), ids=lambda row: f"{row[0]}-{row[1].split('@')[0]}".replace(" ", "-"))
def test_a_difference_that_is_meant(tmp_path, row):
    why, kind, text, they = row
    case = Case(why, Key(kind, random.Random(SEED)), None)
    case.text = text(case.key)
    case.name_space = b"n" * 65 if why.startswith("a namespace") else NS
    assert theirs(tmp_path, 0, case) is they
    assert (ours([case])[0] == "ok") is not they
    assert (only_theirs(case) if they else only_ours(case)) == why


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("flags", [PRESENT, PRESENT | VERIFIED])
def test_both_take_a_good_one(tmp_path, kind, flags):
    key = Key(kind, random.Random(SEED))
    case = Case("good", key, armour(key.sign(b"restart redis\n", NS, flags=flags, counter=2**32 - 1)))
    for case.listed in (False, True):
        assert ours([case]) == ["ok"] and theirs(tmp_path, 0, case)
