"""What the hub refuses: the status, the reason, one line of its log, and nothing stored."""

import json
import os
import re
import socket
import subprocess
import tempfile
import time

import pytest

from hub import REFUSAL, Client, Engineer, Person, canonical, log_folder, now, program
from test_hub import request_of
from vendor import contents


@pytest.fixture(scope="module", autouse=True)
def portless():
    """A hub whose port is another's; begun first, for it takes its time to give up."""
    with tempfile.TemporaryDirectory(prefix="hub.") as folder, socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        state = os.path.join(folder, "D")
        run("init", "--state", state, "--name", "portless", "--listen", "127.0.0.1:%d" % taken.getsockname()[1],
            "--repo", folder, "--facts", os.path.join(folder, "facts"), code=0)
        process = subprocess.Popen([program("mainstay-hubd"), "run", "--state", state], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        yield process
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def ben(hub, ada):
    return hub.make_person("ben", roles="support", customers="acme")


def run(*argv, code, env=None):
    """A command of the hub, in an environment that names no state; what it says on stderr."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTAY_")}
    p = subprocess.run([program("mainstay-hubd"), *argv], capture_output=True, text=True, check=False, timeout=60,
                       env=clean | {"MAINSTAY_DEBUG": "1"} | (env or {}))
    with open(os.path.join(log_folder(), "commands.log"), "a") as log:
        log.write("$ mainstay-hubd %s\n%s" % (" ".join(argv), p.stderr))
    assert p.returncode == code, p.stderr
    return p.stderr


def reasons(text):
    return [hit.group(1) for line in text.splitlines() for hit in [REFUSAL.search(line)] if hit]


class once:
    """What is inside is refused once, for that reason, and these tables (customer, name) stay as they are."""

    def __init__(self, hub, reason, *tables):
        self.hub, self.reason, self.tables = hub, reason, tables

    def rows(self):
        return [self.hub.rows("SELECT * FROM %s" % name, customer=customer) for customer, name in self.tables]

    def __enter__(self):
        self.seen, self.stored = len(self.hub.refusals()), self.rows()

    def __exit__(self, failed, *unused):
        if not failed:
            assert [reason for reason, _ in self.hub.refusals()[self.seen:]] == [self.reason]
            assert self.rows() == self.stored


def refused(reply, status, reason):
    assert (reply.status, reply.json()["reason"], reply.json()["status"]) == (status, reason, status), reply.body
    assert reply.headers["content-type"] == "application/problem+json"


# --- logins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("customers, status, reason", [
    ([], 400, "malformed"),
    (["acme", "../acme"], 400, "malformed"),
    ([1], 400, "malformed"),
    (["globex"], 403, "wrong-role"),
])
def test_a_login_for_customers_that_are_none(hub, ben, customers, status, reason):
    with once(hub, reason, ("", "keys"), ("", "nonces")):
        refused(Engineer(hub, ben, customers).login(), status, reason)


def test_a_login_for_too_many_customers(hub, ada):
    many = ["c%02d-%s" % (i, "x" * 58) for i in range(32)]
    with once(hub, "too-large", ("", "keys"), ("", "nonces")):
        refused(Engineer(hub, ada.person, many).login(), 413, "too-large")


def test_a_login_under_another_engineers_name(hub, ada, ben):
    nonce = Client(hub).request("GET", "/v1/login?engineer=ada").json()["nonce"]
    with once(hub, "unknown-key", ("", "keys"), ("", "nonces")):
        refused(Engineer(hub, ben, ["acme"]).login(engineer="ada", nonce=nonce), 401, "unknown-key")


def test_a_login_whose_key_is_another_engineers_by_now(hub, ada):
    eve = hub.engineer("eve", customers=("acme",))
    assert eve.get("/v1/fleet/sites").status == 200
    # The officers sign that this key is Mallory's.
    hub.release("people", "set", hub.repo, "--name", "eve", "--roles", "support", "--keys", hub.keys)
    draft = os.path.join(hub.repo, "draft", "people.json")
    with open(draft) as f:
        document = json.load(f)
    next(e for e in document["engineers"] if e["name"] == "eve")["name"] = "mallory"
    with open(draft, "wb") as f:
        f.write(canonical(document))
    hub.release("people", "sign", hub.repo, "--keys", hub.keys)
    with once(hub, "unknown-key"):
        refused(eve.get("/v1/fleet/sites"), 401, "unknown-key")


# --- requests -----------------------------------------------------------------------------------------------------


def test_requests_by_people_who_may_not(hub, ada, ben):
    s = hub.accepted_site(ada, "asked-1")
    stored = (("acme", "requests"), ("acme", "mailboxes"))
    for envelope, status, reason in (
            (request_of(ada.person, s, "a-1", engineer="ben")[0], 403, "wrong-role"),
            (request_of(ada.person, s, "a-2", customer="globex")[0], 403, "wrong-addressee"),
            (request_of(ada.person, s, "a-3", expires=now(-1))[0], 403, "expired"),
            (request_of(Person(hub.folder, "nobody"), s, "a-4")[0], 401, "unknown-key")):
        with once(hub, reason, *stored):
            refused(ada.post("/v1/fleet/requests", envelope), status, reason)
    assert ada.post("/v1/fleet/requests", request_of(ben, s, "a-5")[0]).status == 202


# --- commands -----------------------------------------------------------------------------------------------------


def test_commands_that_say_nothing(hub):
    before = contents(hub.state)
    token = ("token", "--customer", "acme", "--site", "s-1", "--expires")
    init = ("init", "--name", "n", "--repo", hub.repo, "--listen", "127.0.0.1:0", "--facts", "facts")
    for argv, code, reason in (
            (("run",), 2, "usage"),
            ((*token, "1h"), 2, "usage"),
            (init, 2, "usage"),
            (("run", "--state", hub.state, "--ready-fd", "x"), 2, "usage"),
            (("run", "--state", os.path.join(hub.folder, "none")), 1, "not-found"),
            ((*token, "soon", "--state", hub.state), 2, "usage")):
        assert reasons(run(*argv, code=code)) == [reason], argv
    assert reasons(run("run", code=2, env={"MAINSTAY_STATE": ""})) == ["usage"]
    assert not os.path.exists("facts")
    assert {k: v for k, v in contents(hub.state).items() if ".db" not in k} == \
        {k: v for k, v in before.items() if ".db" not in k}


def test_facts_that_have_no_place(hub, tmp_path):
    """The folder is made all the same, and the next init says the same of it."""
    init = ("init", "--state", str(tmp_path / "D"), "--name", "n", "--repo", hub.repo, "--listen", "127.0.0.1:0",
            "--facts")
    assert reasons(run(*init, str(tmp_path / "none/facts"), code=1)) == ["not-found"]
    before = contents(tmp_path / "D")
    run(*init, str(tmp_path / "facts"), code=0)
    assert contents(tmp_path / "D") == before
    assert json.loads((tmp_path / "facts").read_text())["name"] == "n"


def test_a_hub_without_its_port_gives_up(portless):
    deadline = time.monotonic() + 40
    while portless.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    out, said = portless.communicate(timeout=1)
    with open(os.path.join(log_folder(), "portless.log"), "w") as log:
        log.write(said)
    assert portless.returncode == 1 and out == ""
    assert reasons(said) == ["conflict"]
    assert re.search(r"nginx does not get its port; see .*/nginx/error.log \[conflict\]$", said, re.M)
