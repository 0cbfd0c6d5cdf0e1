"""Our TUF client before servers that attack it: what went wrong in other clients, each by the name it got there, names
that are paths, bytes without end, and answers that lead elsewhere."""

import hashlib
import json
import os
import time

import pytest
from tuf_repository import OWN, Client, Key, Repository, Server, days, quote


@pytest.fixture(scope="module", name="server")
def fixture_server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(name="client")
def fixture_client(server, tmp_path):
    return lambda repository=None, **more: Client(str(tmp_path), server, repository or Repository(), **more)


def version(client, role):
    kept = client.kept(role)
    return kept and json.loads(kept)["signed"]["version"]


def with_role(role="apps", path="file", **more):
    repo = Repository()
    repo.delegate("targets", role, **more)
    repo.add(role, path, b"contents")
    repo.publish_all()
    return repo


# --- what has a number ------------------------------------------------------------------------------------------------
def test_cve_2020_15163_a_new_root_is_verified_by_its_own_keys_too(client):
    c = client()
    c.repository.next_root([Key()], by=c.repository.signers["root"])
    assert c.refresh() == 1 and version(c, "root") == 1
    c.repository.files.pop("metadata/2.root.json")
    assert c.refresh() == 0  # the refused one was not kept


def test_cve_2020_6173_thousands_of_signatures_cost_nothing(client):
    c = client()
    document = c.repository.document("snapshot")
    document["signatures"] += [{"keyid": f"{n:064x}", "sig": document["signatures"][0]["sig"]} for n in range(8000)]
    c.repository.put("snapshot", document)
    start = time.monotonic()
    assert c.refresh() == 1 and "at most 64" in c.error
    assert time.monotonic() - start < 5
    document["signatures"] = document["signatures"][-63:] + document["signatures"][:1]
    c.repository.put("snapshot", document)
    assert c.refresh() == 0


def test_cve_2022_29173_older_targets_are_refused_before_the_snapshot_is_kept(client):
    c = client()
    repo = c.repository
    repo.publish("targets", "snapshot", "timestamp")
    assert c.refresh() == 0
    repo.files["metadata/3.targets.json"] = repo.files["metadata/1.targets.json"]
    repo.signed["snapshot"]["meta"]["targets.json"] = {"version": 1}
    repo.publish("snapshot", "timestamp")
    for _ in range(2):  # nor the second time
        assert c.refresh() == 1 and "rollback" in c.error
        assert [version(c, r) for r in ("snapshot", "targets")] == [2, 2]


def test_cve_2024_47534_delegations_are_asked_in_their_order(client):
    repo = Repository()
    for parent, role in (("targets", "first"), ("targets", "second"), ("first", "third"), ("first", "fourth")):
        repo.delegate(parent, role)
    for role in ("fourth", "second"):
        repo.add(role, "file", role.encode())
        repo.publish_all()
        repo.targets.clear()
    c = client(repo)
    assert c.download("file") == 0 and c.files() == [b"fourth"]
    assert "3.second.json" not in c.asked()


@pytest.mark.parametrize("threshold", [0, -1, "1", 1.0, None, True])
def test_ghsa_fphv_w9fq_2525_a_threshold_is_a_number_from_1(client, threshold):
    c = client()
    repo = c.repository
    repo.root["roles"]["timestamp"]["threshold"] = threshold
    repo.root["version"] += 1
    document = {"signatures": [], "signed": repo.root}
    text = json.dumps(document)
    # A real number has no canonical form: whatever was signed, the file is no metadata.
    data = None if threshold == 1.0 else repo.document("root")
    repo.files["metadata/2.root.json"] = text.encode() if data is None else json.dumps(data).encode()
    unsigned = repo.document("timestamp", [])
    repo.put("timestamp", unsigned)
    assert c.refresh() == 1 and version(c, "root") == 1 and version(c, "timestamp") is None


@pytest.mark.parametrize("threshold", [0, -1])
def test_ghsa_fphv_w9fq_2525_nor_is_a_delegated_one(client, threshold):
    repo = with_role()
    repo.signed["targets"]["delegations"]["roles"][0]["threshold"] = threshold
    repo.signers["apps"] = []
    repo.publish_all()
    c = client(repo)
    assert c.download("file") == 1 and c.files() == []


def test_ghsa_jqc5_w2xx_5vq4_the_name_of_a_repository_is_no_path(client):
    """CVE-2026-24686: what an address holds never names a file."""
    c = client(with_role(), name="../../x/..%2F")
    assert c.download("file") == 0
    assert c.files() == [b"contents"]
    assert c.roles() == sorted(r + ".json" for r in [*OWN, "apps"])


HOSTILE = ["../x", "/x", "..", ".", "a/../../x", "?", "#", "%2e%2e%2fx", "a b", "\u00e9", "..\\x", "x\n", "timestamp.json/../x",
           "-rf", "~", "1.root"]


@pytest.mark.parametrize("role", HOSTILE)
def test_cve_2021_41131_the_name_of_a_role_is_no_path(client, role):
    c = client(with_role(role))
    assert c.download("file") == 0
    assert c.asked()[-2] == f"1.{quote(role)}.json"
    assert c.roles() == sorted(r + ".json" for r in [*OWN, quote(role)])
    assert c.files() == [b"contents"]
    assert c.download("file") == 0
    assert c.asked() == ["2.root.json", "timestamp.json"]  # it is found again under that name


@pytest.mark.parametrize("role", [*OWN, "", "x" * 129, "/" * 67])
def test_names_that_no_role_may_have(client, role):
    repo = Repository()
    entry = repo.delegate("targets", "apps")
    entry["name"] = role
    repo.publish("targets", "snapshot", "timestamp")
    c = client(repo)
    assert c.refresh() == 1 and version(c, "snapshot") == 2 and version(c, "targets") is None


@pytest.mark.parametrize("path", ["../x", "/x", "a//x", "a/../../x", "..", ".", "a/.", "./x", "x/"])
def test_cve_2026_6968_the_path_of_a_target_leads_nowhere_else(client, path):
    repo = Repository()
    repo.add("targets", path, b"contents")
    repo.publish_all()
    c = client(repo)
    assert c.download(path) == 1 and c.files() == []
    assert not [p for p in c.repository.asked if p.startswith("targets/")]


@pytest.mark.parametrize("path", ["..x", "a b", "?x=1", "a#b", "%2e%2e/x", "\u00e9/\u4e2d", "a\\..\\b", "C:\\x", "\n", "x" * 300, "-rf",
                                  ".tmp.0", "a.json"])
def test_odd_paths_of_targets_are_files_of_their_own(client, path):
    repo = Repository()
    repo.add("targets", path, b"contents")
    repo.publish_all()
    c = client(repo)
    assert c.download(path) == 0 and c.files() == [b"contents"]
    assert c.download(path) == 0
    assert not [p for p in c.repository.asked if p.startswith("targets/")]
    assert not [n for n in os.listdir(c.t) if n.startswith(".")]


@pytest.mark.parametrize("number", [1, 3, 10])
def test_cve_2025_2885_the_next_root_has_the_next_number(client, number):
    c = client()
    repo = c.repository
    repo.root["version"] = number
    repo.files["metadata/2.root.json"] = json.dumps(repo.document("root")).encode()
    assert c.refresh() == 1 and version(c, "root") == 1
    assert c.asked() == ["2.root.json"]


def test_cve_2025_2886_a_terminating_delegation_ends_the_search(client):
    repo = Repository()
    repo.delegate("targets", "ends", terminating=True)
    repo.delegate("targets", "later")
    repo.add("later", "file", b"contents")
    repo.publish_all()
    c = client(repo)
    assert c.download("file") == 1 and "1.later.json" not in c.asked() and c.files() == []


def test_cve_2025_2887_an_older_delegated_role_is_refused(client):
    repo = with_role()
    repo.publish_all()
    c = client(repo)
    assert c.download("file") == 0 and version(c, "apps") == 2
    repo.signed["snapshot"]["meta"]["apps.json"] = {"version": 1}
    repo.publish("snapshot", "timestamp")
    assert c.download("file") == 1 and "rollback" in c.error and version(c, "snapshot") == 3
    repo.signed["snapshot"]["meta"]["apps.json"] = {"version": 3}  # listed as newer, served as older
    repo.files["metadata/3.apps.json"] = repo.files["metadata/1.apps.json"]
    repo.publish("snapshot", "timestamp")
    assert c.download("file") == 1 and "rollback" in c.error and version(c, "apps") == 2


def test_one_key_under_two_keyids_counts_once_towards_a_delegated_threshold(client):
    key = Key()
    twin = Key(private=key.private, **{"x-again": 1})
    c = client(with_role(keys=[key, twin], threshold=2))
    assert c.download("file") == 1 and "threshold" in c.error and version(c, "apps") is None


def test_cve_2025_2888_a_timestamp_that_lists_an_older_snapshot_is_not_kept(client):
    c = client()
    repo = c.repository
    repo.publish("snapshot", "timestamp")
    assert c.refresh() == 0
    repo.signed["timestamp"]["meta"]["snapshot.json"] = {"version": 1}
    repo.publish("timestamp")
    for _ in range(2):
        assert c.refresh() == 1 and "rollback" in c.error
        assert [version(c, r) for r in ("timestamp", "snapshot")] == [2, 2]
    assert c.asked() == ["2.root.json", "timestamp.json"]


def test_cve_2026_6966_a_signature_that_stands_there_twice_counts_once(client):
    repo = with_role(keys=[Key(), Key()], threshold=2)
    c = client(repo)
    document = repo.document("apps", repo.signers["apps"][:1] * 2)
    repo.put("apps", document)
    assert c.download("file") == 1 and version(c, "apps") is None and c.files() == []


@pytest.mark.parametrize("what", ["expired", "hash", "length"])
def test_cve_2026_6967_expiry_hash_and_length_hold_for_delegated_roles(client, what):
    repo = with_role()
    repo.measured = what != "expired"
    if what == "expired":
        repo.signed["apps"]["expires"] = days(-1)
    repo.publish_all()
    if what == "hash":
        data = repo.files["metadata/2.apps.json"]
        repo.files["metadata/2.apps.json"] = data.replace(b" ", b"\n", 1)  # the same document, other bytes
        assert repo.files["metadata/2.apps.json"] != data
    elif what == "length":
        repo.files["metadata/2.apps.json"] += b"\n"
    c = client(repo)
    assert c.download("file") == 1 and version(c, "apps") is None and c.files() == []


def test_ghsa_qp9x_wp8f_qgjj_patterns_tell_capitals_apart(client):
    repo = Repository()
    repo.delegate("targets", "capitals", ["Apps/*"])
    repo.delegate("targets", "apps", ["apps/*"])
    repo.add("capitals", "apps/file", b"evil")
    repo.publish_all()
    c = client(repo)
    assert c.download("apps/file") == 1 and "1.capitals.json" not in c.asked() and "1.apps.json" in c.asked()


def test_python_tuf_2978_a_role_with_two_parents_is_verified_for_each(client):
    repo, good, other = Repository(), Key(), Key()
    repo.delegate("targets", "a", ["a/*"])
    repo.delegate("targets", "b", ["b/*"])
    repo.delegate("a", "shared", ["*/*"], keys=[good])
    entry = repo.delegate("b", "shared", ["*/*"], keys=[other])
    for path in ("a/file", "b/file"):
        repo.add("shared", path, path.encode())
    repo.publish_all()
    c = client(repo)
    assert c.download("a/file", "b/file") == 1  # in one run, with what is loaded already
    assert c.files() == [b"a/file"] and "threshold" in c.error
    assert c.download("b/file") == 1 and c.files() == [b"a/file"]  # and with what was kept
    assert c.download("a/file") == 0
    repo.signed["b"]["delegations"]["keys"][good.id] = good.object
    entry["keyids"].append(good.id)
    repo.publish_all()
    assert c.download("b/file", "a/file") == 0 and c.files() == [b"a/file", b"b/file"]


def test_go_tuf_652_a_role_that_the_snapshot_does_not_list_is_not_asked_for(client):
    repo = with_role()
    del repo.signed["snapshot"]["meta"]["apps.json"]
    repo.publish("snapshot", "timestamp")
    c = client(repo)
    assert c.download("file") == 1
    assert not [a for a in c.asked() if "apps" in a] and "does not list" in c.error


# --- documents that are none ------------------------------------------------------------------------------------------
DOCUMENTS = {
    "nothing": lambda d: b"",
    "a list": lambda d: b"[]",
    "cut short": lambda d: d[:-1],
    "bytes behind it": lambda d: d + b"{}",
    "a member twice": lambda d: d.replace(b'"signed": {', b'"signed": {"version": 9, ', 1),
    "a real number": lambda d: d.replace(b'"version": 2', b'"version": 2.0', 1),
    "minus nought": lambda d: d.replace(b'"signed": {', b'"signed": {"x": -0, ', 1),
    "an exponent": lambda d: d.replace(b'"version": 2', b'"version": 2e0', 1),
    "beyond 2^53": lambda d: d.replace(b'"signed": {', b'"signed": {"x": 9007199254740993, ', 1),
    "half a surrogate": lambda d: d.replace(b'"signed": {', b'"signed": {"x": "\\ud800", ', 1),
    "no UTF-8": lambda d: d.replace(b'"signed": {', b'"signed": {"x": "\xff", ', 1),
    "a NUL": lambda d: d.replace(b'"signed": {', b'"signed": {"x": "\\u0000", ', 1),
    "65 deep": lambda d: d.replace(b'"signed": {', b'"signed": {"x": ' + b"[" * 65 + b"]" * 65 + b", ", 1),
    "100,000 deep": lambda d: b"[" * 100000,
}


@pytest.mark.parametrize("how", DOCUMENTS)
def test_what_is_no_metadata_is_refused_and_forgotten(client, how):
    c = client()
    repo = c.repository
    repo.publish("targets", "snapshot", "timestamp")
    good = repo.files["metadata/2.targets.json"]
    bad = DOCUMENTS[how](good)
    assert bad != good
    repo.files["metadata/2.targets.json"] = bad
    assert c.refresh() == 1 and version(c, "targets") is None
    repo.files["metadata/2.targets.json"] = good
    assert c.refresh() == 0


@pytest.mark.parametrize("expires", ["2999-13-01T00:00:00Z", "2999-02-29T00:00:00Z", "2999-01-01T24:00:00Z", "2999-01-01T00:00:60Z",
                                     "2999-01-01T00:00:00.144Z", "2999-01-01T00:00:00+00:00", "2999-01-01 00:00:00Z",
                                     "2999-01-01T00:00:00z", "+999-01-01T00:00:00Z", "2999-1-01T00:00:00Z", "", 4102444800])
def test_a_date_has_one_form(client, expires):
    c = client()
    c.repository.signed["timestamp"]["expires"] = expires
    c.repository.publish("timestamp")
    assert c.refresh() == 1 and version(c, "timestamp") is None and "expires is not" in c.error


# --- servers that do not serve ----------------------------------------------------------------------------------------
class Endless:
    """Sends until the other side hangs up."""

    def __init__(self, chunk=b" " * 4096, length=None, pause=0, most=64 << 20):
        self.chunk, self.length, self.pause, self.most, self.sent = chunk, length, pause, most, 0

    def __call__(self, request):
        request.send_response(200)
        if self.length is not None:
            request.send_header("Content-Length", str(self.length))
        request.end_headers()
        try:
            while self.sent < self.most:
                request.wfile.write(self.chunk)
                self.sent += len(self.chunk)
                time.sleep(self.pause)
        except OSError:
            pass


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"])
def test_data_without_end_ends_at_the_limit_of_its_role(client, name):
    c, endless = client(), Endless()
    c.repository.files["metadata/" + name] = endless
    assert c.refresh() == 1 and "too-large" in c.error
    assert endless.sent < 16 << 20  # a limit, and what the two kernels hold between them
    assert not [n for n in os.listdir(c.d) if not n.endswith(".json")]


def test_a_target_without_end_ends_at_its_listed_length(client):
    repo = Repository()
    repo.add("targets", "file", b"contents")
    repo.publish_all()
    c, endless = client(repo), Endless(chunk=b"contents" * 512)
    repo.files["targets/%s.file" % hashlib.sha256(b"contents").hexdigest()] = endless
    assert c.download("file") == 1 and c.files() == [] and "too-large" in c.error
    assert endless.sent < 16 << 20


def test_data_that_trickles_is_given_up(client):
    c, slow = client(), Endless(chunk=b" ", length=16000, pause=0.05, most=400)
    c.repository.files["metadata/timestamp.json"] = slow
    start = time.monotonic()
    assert c.refresh() == 1 and "unreachable" in c.error
    assert time.monotonic() - start < 10 and slow.sent < 400
    assert version(c, "timestamp") is None


def test_a_reply_that_is_cut_short_is_none(client):
    c = client()
    good = c.repository.files["metadata/timestamp.json"]
    c.repository.files["metadata/timestamp.json"] = Endless(chunk=good, length=len(good) + 5, most=len(good))
    assert c.refresh() == 1 and version(c, "timestamp") is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(client, server, status):
    c, other = client(), Repository()
    elsewhere = server.mount(other).replace("127.0.0.1", "localhost")

    def answer(request):
        request.send_response(status)
        request.send_header("Location", elsewhere + "metadata/timestamp.json")
        request.send_header("Content-Length", "0")
        request.end_headers()

    c.repository.files["metadata/timestamp.json"] = answer
    assert c.refresh() == 1 and f"answers {status}" in c.error
    assert other.asked == []


@pytest.mark.parametrize("status", [204, 206, 203, 500, 410])
def test_only_200_is_an_answer(client, status):
    c = client()
    good = c.repository.files["metadata/timestamp.json"]

    def answer(request):
        request.send_response(status)
        request.send_header("Content-Length", str(0 if status == 204 else len(good)))
        request.end_headers()
        request.wfile.write(b"" if status == 204 else good)

    c.repository.files["metadata/timestamp.json"] = answer
    assert c.refresh() == 1 and version(c, "timestamp") is None
    c.repository.files["metadata/timestamp.json"] = good
    assert c.refresh() == 0
