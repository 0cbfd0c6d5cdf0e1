"""Witnesses of the customer's own: one that was written from the specification, over https and by file; what the policy
says of heads and proofs; and a log of which a witness saw another one."""

import base64
import json
import subprocess

import pytest

from estate import SITE, Estate, until
from witness import Proof, Verifier, Witness, checkpoint, sha

ORIGIN = "mainstay.audit/" + SITE


@pytest.fixture(scope="module", name="own")
def a_witness_of_the_customers():
    w = Witness("w.example")
    yield w
    w.stop()


@pytest.fixture(scope="module", name="estate")
def an_estate_with_it(own):
    with Estate("witness") as e:
        e.vendor()
        cert, key = e.path("w.pem"), e.path("w.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=w.example", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
                        cert], check=True, capture_output=True)
        with open(e.path("both.pem"), "w") as out:
            for name in (cert, e.path("hub", "ca.pem")):
                with open(name) as f:
                    out.write(f.read())
        enrol_args = e.enrol_args
        e.enrol_args = lambda: [e.path("both.pem") if a == e.path("hub", "ca.pem") else a for a in enrol_args()]
        e.start_site()
        e.enrol()
        e.policy()
        own.serve(cert, key)
        yield e


def head(estate):
    return estate.mainstay_json("audit", "head")


def write(estate, name, text):
    with open(estate.path(name), "w") as f:
        f.write(text)
    return estate.path(name)


@pytest.mark.flow
def test_hub_and_own_witness_cosign_one_head(estate, own):
    h = head(estate)
    own.trust(h["vkey"])
    hub = h["quorum"]["witnesses"][0]["key"]
    estate.policy_file = write(estate, "audit.policy", f"log {h['vkey']}\nwitness hub {hub}\nwitness own {own.vkey} {own.url}\n"
                               "group both all hub own\nquorum both\n")
    estate.mainstay("audit", "policy", estate.policy_file)
    assert "[threshold]" in estate.mainstay("audit", "verify", "--policy", estate.policy_file, code=1).stderr
    assert not own.seen  # all switches are off
    estate.mainstay("on", "telemetry")
    met = until("quorum", lambda: (lambda x: x["quorum"]["met"] and x)(head(estate)), timeout=40)
    note = met["cosigned_checkpoint"]
    assert all(Verifier(k).signed(note) for k in (h["vkey"], hub, own.vkey))
    assert checkpoint(note)[0] == ORIGIN and checkpoint(note)[1] == met["cosigned"]
    path, headers, body = own.seen[-1]
    assert SITE not in str(headers) and "Signature" not in headers and "Cookie" not in headers
    items = [i for i in estate.mainstay_json("telemetry", "sent")["items"] if i["stream"] == "witness"]
    assert items and items[-1]["class"] == "audit" and items[-1]["bytes"] == len(body.encode())
    done = estate.mainstay("audit", "verify").stdout
    assert "quorum both: met" in done
    # The engineer sees it, too: the hub passes on what the other signed.
    until("the hub's", lambda: "quorum both: met" in estate.desk("audit", "verify", SITE, "--policy", estate.policy_file,
                                                                code=None).stdout, timeout=40)


@pytest.mark.flow
def test_a_proof_is_one_for_those_who_have_neither_side(estate, own):
    until("cosigned", lambda: (lambda x: x["quorum"]["met"] and x["cosigned"] > 1)(head(estate)), timeout=40)
    file = estate.path("entry-1.tlog-proof")
    estate.mainstay("audit", "prove", "1", "--out", file)
    with open(file) as f:
        text = f.read()
    proof = Proof(text)
    assert proof.holds() and json.loads(proof.record)["n"] == 1
    assert Verifier(own.vkey).signed(proof.note) and Verifier(own.logs[ORIGIN].name + own_tail(own)).signed(proof.note)
    nowhere = estate.path("nowhere")
    done = estate.run("mainstay", "--state", nowhere, "audit", "verify", file, "--policy", estate.policy_file)
    assert "verified: entry 1" in done.stdout and "quorum both: met" in done.stdout
    # Any byte, and it is none.
    for at in range(0, len(text), 7):
        if ord(text[at]) > 126:
            continue
        bad = write(estate, "bad.tlog-proof", text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:])
        estate.run("mainstay", "--state", nowhere, "audit", "verify", bad, "--policy", estate.policy_file, code=1)


def own_tail(own):
    log = own.logs[ORIGIN]
    from witness import key_id
    return "+%s+%s" % (key_id(log.name, log.kind, log.public).hex(), base64.b64encode(bytes([1]) + log.public).decode())


def test_two_witnesses_by_file_agree(estate):
    """Ours and the one by the book get the same heads, and say the same to each."""
    book, h = Witness("book.example"), head(estate)
    book.trust(h["vkey"])
    memory, out = estate.path("memory"), estate.path("cosigned.txt")

    def ours(file, code=0):
        return estate.run("mainstay", "audit", "cosign", file, "--memory", memory, "--name", "file.example", "--log", h["vkey"],
                          "--out", out, code=code)

    def ask(old, note=None):
        file = estate.path("head.txt")
        estate.mainstay("audit", "head", "--out", file, "--from", str(old))
        with open(file) as f:
            return file, f.read()

    file, body = ask(0)
    assert book.add_checkpoint(body)[0] == 200
    ours(file)
    with open(out) as f:
        assert Verifier(h["vkey"]).signed(f.read())
    size = book.heads[ORIGIN][0]
    assert book.add_checkpoint(body)[0] == 409  # from a place that is past
    assert "[conflict]" in ours(file, code=1).stderr
    estate.mainstay("off", "telemetry")  # a leaf more
    file, grown = ask(size)
    spoilt = grown.split("\n")
    spoilt[1] = base64.b64encode(sha(b"x")).decode()
    bad = write(estate, "bad.txt", "\n".join(spoilt))
    assert book.add_checkpoint("\n".join(spoilt))[0] == 422
    assert "[altered]" in ours(bad, code=1).stderr
    stranger = write(estate, "stranger.txt", grown.replace(ORIGIN, "mainstay.audit/other", 1))
    assert book.add_checkpoint(grown.replace(ORIGIN, "mainstay.audit/other", 1))[0] == 404
    assert "[not-found]" in ours(stranger, code=1).stderr
    assert book.add_checkpoint(grown)[0] == 200
    ours(file)
    # Back to the site: no witness of its policy, until it is one.
    assert "[unknown-key]" in estate.mainstay("audit", "head", "--add", out, code=1).stderr
    line = estate.run("mainstay", "audit", "cosign", "--memory", memory, "--name", "file.example").stdout
    with open(estate.policy_file) as f:
        text = f.read().replace("group both all hub own\nquorum both", f"{line}quorum file.example")
    estate.mainstay("audit", "policy", write(estate, "third.policy", text))
    assert "quorum file.example: met" in estate.mainstay("audit", "head", "--add", out).stdout
    estate.mainstay("audit", "verify")
    estate.mainstay("audit", "policy", estate.policy_file)


def test_a_witness_that_shows_our_own_other_head_proves_a_fork(estate, own):
    """First only words; then a head of another log under our own key, as after a disk went back."""
    with open(estate.path("site", "lib", "monitor", "audit.key")) as f:
        seed = bytes.fromhex(f.read().strip().split(":")[1])
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from witness import DASH, key_id, raw
    key = Ed25519PrivateKey.from_private_bytes(seed)
    text = f"{ORIGIN}\n4000\n{base64.b64encode(sha(b'another')).decode()}\n"
    blob = key_id(ORIGIN, 1, raw(key)) + key.sign(text.encode())
    note = f"{text}\n{DASH}{ORIGIN} {base64.b64encode(blob).decode()}\n"
    own.lie = (4000, own.heads[ORIGIN][2])
    estate.mainstay("on", "telemetry")
    epoch = estate.status()["appliance"]["epoch"]
    until("the warning", lambda: [p for p in estate.status()["pending"] if p["kind"] == "witness"], timeout=40)
    assert "forked" not in head(estate) and estate.status()["appliance"]["epoch"] == epoch
    assert not estate.leaves(kind="clone")
    own.lie = (4000, note)
    leaf = until("the proof", lambda: estate.leaves(kind="clone"), timeout=90)[0]
    assert leaf["reason"] == "rollback" and "4000" in leaf["object"]
    assert head(estate)["forked"]["checkpoint"] == note
    assert estate.status()["appliance"]["epoch"] != epoch
    assert "rolled back" in estate.mainstay("audit", "head").stdout
    sent = len(own.seen)
    estate.mainstay("off", "telemetry")
    assert len(own.seen) == sent
