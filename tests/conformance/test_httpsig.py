"""Our RFC 9421 and that of npm's http-message-signatures take each other's requests and replies, and refuse the same
changes to them.  Needs node, npm and a registry; without them it says that it skips."""

import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("MAINSTAY_BUILD", os.path.join(HERE, "..", "..", "build"))
OURS = os.path.join(BUILD, "tests", "httpsig")
COUNT = int(os.environ.get("HTTPSIG_COUNT", "40"))
REQUEST = ["@method", "@authority", "@path", "@query"]
PARAMS = ["created", "expires", "nonce", "keyid", "tag"]
NOW = int(time.time())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is absent")
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json", "peer.js"):
        shutil.copy(os.path.join(HERE, "npm", name), folder)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, timeout=120,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("npm gets no http-message-signatures: " + done.stderr.strip().splitlines()[-1])
    return folder


def lines(argv, jobs, cwd=None):
    with tempfile.TemporaryFile("w+") as text:
        text.writelines(json.dumps(j) + "\n" for j in jobs)
        text.seek(0)
        done = subprocess.run(argv, stdin=text, cwd=cwd, capture_output=True, text=True, timeout=60, check=True)
    out = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(out) == len(jobs), done.stderr[-2000:]
    return out


def ours(jobs):
    return lines([OURS], jobs)


def peer(folder, jobs):
    return lines(["node", "peer.js"], jobs, cwd=folder)


class Key:
    def __init__(self, rng):
        self.seed = rng.randbytes(32)
        key = ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public, self.keyid = raw.hex(), hashlib.sha256(raw).hexdigest()


def digest(body):
    return "sha-256=:%s:" % base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()


def requests(rng):
    """(request of ours, names of its headers that are covered)"""
    for i in range(COUNT):
        body = None if i % 4 == 0 else "".join(rng.choices("abc{}\"\\ \u00fc", k=rng.randrange(1, 200)))
        headers = [] if body is None else [["Content-Type", "application/json"]]
        if body and i % 3 == 0:
            headers += [["Mainstay-Stream", "metrics"], ["Mainstay-Sequence", str(rng.randrange(1, 10**9))]]
        target = rng.choice(["/", "/v1/metrics", "/v1/mailbox?after=3&wait=30", "/a%20b?x=%2F&x=&y", "/v1/x?"])
        yield {"method": "GET" if body is None else rng.choice(["POST", "PUT"]),
               "authority": rng.choice(["hub.example", "hub.example:8443", "127.0.0.1:4433"]),
               "target": target, "headers": headers, "body": body}


def theirs(message, more=()):
    """The same message as npm's library takes it."""
    headers = dict([*message["headers"], *more])
    if "status" in message:
        return {"status": message["status"], "headers": headers}
    return {"method": message["method"], "url": "https://" + message["authority"] + message["target"],
            "headers": headers}


def covered(message, more=()):
    names = [n.lower() for n, _ in [*message["headers"], *more]]
    return REQUEST + [n for n in names if not n.startswith("signature")]


def changed(message, rng):
    """One covered part, changed."""
    other = json.loads(json.dumps(message))
    what = rng.choice(["method", "authority", "target", "headers"] if "status" not in message else ["status"])
    if what == "headers" and not [h for h in other["headers"] if not h[0].lower().startswith("signature")]:
        what = "method"
    if what == "headers":
        next(h for h in other["headers"] if not h[0].lower().startswith("signature"))[1] += "x"
    elif what == "target":
        other["target"] += "?" if "?" not in other["target"] else "z"
        if other["target"].endswith("?"):
            other["target"] += "z"
    elif what == "status":
        other["status"] = 299
    else:
        other[what] = "PATCH" if what == "method" else "x." + other[what]
    return other


def test_they_take_our_requests(folder):
    rng = random.Random(int(os.environ.get("SEED", "1")))
    key = Key(rng)
    messages = list(requests(rng))
    signed = ours([dict(m, do="sign", key=key.seed.hex(), now=NOW) for m in messages])
    assert all(s["reason"] == "ok" for s in signed)
    full = [dict(m, headers=m["headers"] + s["headers"]) for m, s in zip(messages, signed)]
    job = {"do": "verify", "key": key.public, "params": PARAMS}
    said = peer(folder, [dict(job, fields=covered(m), message=theirs(m)) for m in full])
    assert [s for s in said if s != {"good": True}] == []
    said = peer(folder, [dict(job, fields=REQUEST, message=theirs(changed(m, rng))) for m in full])
    assert [s for s in said if s.get("good")] == []


def test_we_take_their_requests(folder):
    rng = random.Random(int(os.environ.get("SEED", "1")) + 1)
    key = Key(rng)
    jobs, messages = [], list(requests(rng))
    for i, m in enumerate(messages):
        more = [] if m["body"] is None else [["Content-Digest", digest(m["body"])]]
        fields = covered(m, more)
        rng.shuffle(fields)
        m["headers"] = m["headers"] + more
        jobs.append({"do": "sign", "key": key.seed.hex(), "fields": fields, "message": theirs(m),
                     "label": ["sig", "other"][i % 2], "params": PARAMS + ["alg"] * (i % 3 == 0),
                     "values": {"created": NOW, "expires": NOW + 300, "nonce": "%032x" % rng.getrandbits(128),
                                "keyid": key.keyid, "tag": "mainstay-v1"}})
    signed = peer(folder, jobs)
    full = [dict(m, headers=[[n, v] for n, v in s["headers"].items()]) for m, s in zip(messages, signed)]
    job = {"do": "verify", "key": key.public, "now": NOW}
    assert {a["reason"] for a in ours([dict(m, **job) for m in full])} == {"ok"}
    assert "ok" not in {a["reason"] for a in ours([dict(changed(m, rng), **job) for m in full])}
    assert {a["reason"] for a in ours([dict(m, do="verify", key=key.public, now=NOW + 300) for m in full])} == \
        {"expired"}


def replies(rng):
    for i in range(COUNT):
        yield {"status": rng.choice([200, 202, 401, 409, 503]), "body": "x" * rng.randrange(0, 99),
               "headers": [["Mainstay-Committed", str(i)]] if i % 2 else [], "nonce": "%032x" % rng.getrandbits(128)}


def test_they_take_our_replies_and_we_theirs(folder):
    rng = random.Random(int(os.environ.get("SEED", "1")) + 2)
    key = Key(rng)
    messages = list(replies(rng))
    signed = ours([dict(m, do="sign", key=key.seed.hex(), now=NOW) for m in messages])
    full = [dict(m, headers=m["headers"] + s["headers"]) for m, s in zip(messages, signed)]
    params = ["created", "nonce", "keyid", "tag"]
    job = {"do": "verify", "key": key.public, "params": params, "fields": ["@status", "content-digest"]}
    said = peer(folder, [dict(job, message=theirs(m)) for m in full])
    assert [s for s in said if s != {"good": True}] == []
    said = peer(folder, [dict(job, message=theirs(changed(m, rng))) for m in full])
    assert [s for s in said if s.get("good")] == []

    jobs = []
    for m in messages:
        m["headers"] = m["headers"] + [["Content-Digest", digest(m["body"])]]
        fields = ["@status"] + [n.lower() for n, _ in m["headers"]]
        rng.shuffle(fields)
        jobs.append({"do": "sign", "key": key.seed.hex(), "fields": fields, "message": theirs(m), "params": params,
                     "values": {"created": NOW, "nonce": m["nonce"], "keyid": key.keyid, "tag": "mainstay-v1"}})
    signed = peer(folder, jobs)
    full = [dict(m, headers=[[n, v] for n, v in s["headers"].items()]) for m, s in zip(messages, signed)]
    job = {"do": "verify", "key": key.public}
    assert {a["reason"] for a in ours([dict(m, **job) for m in full])} == {"ok"}
    assert {a["reason"] for a in ours([dict(changed(m, rng), **job) for m in full])} == {"bad-signature"}
    assert {a["reason"] for a in ours([dict(m, **job, nonce="00") for m in full])} == {"replayed"}
    assert {a["reason"] for a in ours([dict(m, **job, body=m["body"] + "x") for m in full])} == {"hash-mismatch"}
