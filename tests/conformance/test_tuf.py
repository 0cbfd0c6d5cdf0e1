"""Our TUF client before a repository of its own tests: each step of the specification's workflow (1.0.34, 5.1 to 5.7),
what is asked of the server, in which order, and what lies on disk afterwards."""

import hashlib
import json
import os

import pytest
from tuf_repository import OWN, Client, Key, Repository, Server, days, needs_faketime

FRESH = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
faketime = pytest.mark.skipif(needs_faketime(), reason="faketime is absent")


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


def versions(client):
    """Of root, timestamp, snapshot, targets."""
    return [version(client, r) for r in OWN]


def with_target(role="targets", path="a/file", **more):
    repo = Repository(**more)
    repo.add(role, path, b"contents")
    repo.publish_all()
    return repo


# --- 5.1 to 5.3: the root ---------------------------------------------------------------------------------------------
def test_a_first_refresh_asks_for_four_files_and_keeps_their_bytes(client):
    c = client()
    repo = c.repository
    assert c.started == 0 and c.asked() == [] and c.roles() == ["root.json"]
    repo.files["metadata/timestamp.json"] += b" \n"  # no bytes that we would write
    assert c.refresh() == 0
    assert c.asked() == FRESH
    assert c.roles() == sorted(r + ".json" for r in OWN)
    assert c.kept("timestamp") == repo.files["metadata/timestamp.json"]
    assert c.kept("targets") == repo.files["metadata/1.targets.json"]
    assert c.files() == []


def test_a_second_refresh_asks_for_root_and_timestamp_alone(client):
    c = client()
    assert c.refresh() == 0 and c.refresh() == 0
    assert c.asked() == ["2.root.json", "timestamp.json"]


def test_without_consistent_snapshots_names_have_no_version(client):
    c = client(with_target(consistent=False))
    assert c.download("a/file") == 0
    assert c.repository.asked == ["metadata/2.root.json", "metadata/timestamp.json", "metadata/snapshot.json",
                                  "metadata/targets.json", "targets/a/file"]
    assert c.files() == [b"contents"]


@pytest.mark.parametrize("how", ["no version", "wrong signature", "no json", "nothing"])
def test_a_first_root_that_is_none_is_not_trusted_and_nothing_is_asked(client, how):
    repo = Repository()
    root = json.loads(repo.files["metadata/1.root.json"])
    if how == "no version":
        del root["signed"]["version"]
    if how == "wrong signature":
        root["signatures"][0]["sig"] = Key().sign(b"else")
    bytes_of = {"no json": b"{", "nothing": b""}
    c = client(repo, trust=bytes_of.get(how, json.dumps(root).encode()))
    assert c.started == 1
    assert c.refresh() == 1 and c.asked() == []
    assert c.kept("root") is None


def test_a_chain_of_roots_is_walked_and_the_last_is_kept(client):
    c = client()
    for n in range(3):
        c.repository.next_root([Key("ed25519" if n == 1 else "ecdsa")])
    assert c.refresh() == 0
    assert c.asked() == ["2.root.json", "3.root.json", "4.root.json", "5.root.json", *FRESH[1:]]
    assert versions(c) == [4, 1, 1, 1]
    assert c.kept("root") == c.repository.files["metadata/4.root.json"]


def test_a_chain_that_breaks_keeps_the_links_before_it(client):
    c = client()
    for _ in range(3):
        c.repository.next_root([Key()])
    c.repository.files["metadata/3.root.json"] = c.repository.files["metadata/4.root.json"]
    assert c.refresh() == 1
    assert c.asked() == ["2.root.json", "3.root.json"]
    assert versions(c) == [2, None, None, None]


def test_a_root_of_two_of_three_needs_two_of_the_old_and_two_of_the_new(client):
    old, new = [Key() for _ in range(3)], [Key() for _ in range(3)]
    repo = Repository()
    repo.next_root(old, threshold=2, by=[*repo.signers["root"], *old])
    c = client(repo)
    for by in ([old[0], *new], [*old, new[0]], [old[0], old[0], new[0], new[1]]):
        repo.next_root(new, threshold=2, by=by)
        assert c.refresh() == 1 and version(c, "root") == 2
        repo.root["version"] -= 1
    repo.next_root(new, threshold=2, by=[old[0], old[2], new[1], new[2]])
    assert c.refresh() == 0 and version(c, "root") == 3


def test_only_not_found_ends_the_chain(client):
    c = client()
    for status in (500, 403, 301):
        c.repository.files["metadata/2.root.json"] = lambda request, status=status: request.send_error(status)
        assert c.refresh() == 1
        assert c.asked() == ["2.root.json"]


def test_an_expired_root_is_kept_and_nothing_behind_it_is_asked(client):
    c = client()
    assert c.refresh() == 0
    c.repository.root["expires"] = days(-1)
    c.repository.next_root()
    c.repository.publish("targets", "snapshot", "timestamp")
    assert c.refresh() == 1
    assert c.asked() == ["2.root.json", "3.root.json"]
    assert versions(c) == [2, 1, 1, 1]
    c.repository.root["expires"] = days(1)
    c.repository.next_root()
    assert c.refresh() == 0 and versions(c) == [3, 2, 2, 2]


@faketime
def test_time_is_what_libc_says(client):
    c = client()
    assert c.refresh() == 0
    assert c.refresh(time="+29 days") == 0
    assert c.refresh(time="+31 days") == 1
    assert "expired" in c.error


# --- keys and signatures ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind, more", [("ecdsa", {}), ("ed25519", {}), ("rsa", {"salt": 32}), ("rsa", {"salt": 0}),
                                        ("rsa", {"salt": 222}), ("ecdsa", {"keytype": "ecdsa-sha2-nistp256"})])
def test_each_kind_of_key_signs_and_is_needed(client, kind, more):
    c, key = client(), Key(kind, **more)
    repo = c.repository
    repo.trust("timestamp", [*repo.signers["timestamp"], key], threshold=2)
    repo.next_root()
    repo.publish("timestamp")
    assert c.refresh() == 0 and version(c, "timestamp") == 2
    repo.publish("timestamp")
    document = repo.document("timestamp")
    document["signatures"][1]["sig"] = key.sign(b"something else")
    repo.put("timestamp", document)
    assert c.refresh() == 1 and version(c, "timestamp") == 2


def test_members_that_nobody_knows_are_part_of_what_is_signed(client):
    c = client()
    repo, key = c.repository, Key(**{"x-owner": {"a": 1, "b": ["\\", '"']}})
    repo.root["x-more"] = [None, True, -5, 9007199254740991, {"deep": {"\u00e9\u4e2d\U0001f600": "\x01\t\n\x7f"}}]
    repo.next_root([key])
    assert c.refresh() == 0 and version(c, "root") == 2
    document = json.loads(repo.files["metadata/2.root.json"])
    for change in (lambda s: s.pop("x-more"), lambda s: s["keys"][key.id]["x-owner"].update(a=2),
                   lambda s: s["x-more"].append(None)):
        other = json.loads(json.dumps(document))
        change(other["signed"])
        repo.files["metadata/3.root.json"] = json.dumps(other).encode()
        assert c.refresh() == 1 and version(c, "root") == 2 and "bad-signature" in c.error


def test_a_keyid_need_not_be_the_hash_of_its_key(client):
    c, key = client(), Key()
    key.id = "release-key-of-2026"
    c.repository.trust("snapshot", [key])
    c.repository.next_root()
    c.repository.publish("snapshot", "timestamp")
    assert c.refresh() == 0 and version(c, "snapshot") == 2


def test_one_key_under_two_keyids_counts_once(client):
    c, key = client(), Key()
    twin = Key(private=key.private, **{"x-owner": "again"})
    assert twin.id != key.id
    c.repository.trust("snapshot", [key, twin], threshold=2)
    c.repository.next_root()
    c.repository.publish("snapshot", "timestamp")
    assert c.refresh() == 1 and versions(c) == [2, 2, None, None]


def test_two_signatures_under_one_keyid_spoil_even_enough_others(client):
    c = client()
    document = c.repository.document("snapshot")
    document["signatures"].append(document["signatures"][0])
    c.repository.put("snapshot", document)
    assert c.refresh() == 1 and version(c, "snapshot") is None


@pytest.mark.parametrize("sig", ["", "00", "zz", "f" * 128, "3" * 12000, "\u00e9\n"])
def test_a_wrong_signature_beside_enough_good_ones_does_not_matter(client, sig):
    c = client()
    repo = c.repository
    repo.trust("timestamp", [*repo.signers["timestamp"], Key()])
    repo.next_root()
    repo.publish("timestamp")
    document = repo.document("timestamp")
    document["signatures"][0]["sig"] = sig
    repo.put("timestamp", document)
    assert c.refresh() == 0 and version(c, "timestamp") == 2


def test_a_key_of_a_kind_yet_to_come_does_not_stand_in_the_way(client):
    c = client()
    repo = c.repository
    entry = {"keytype": "ml-dsa", "scheme": "ml-dsa-65", "keyval": {"public": "A" * 4000}, "x-note": "B" * 100000}
    repo.root["keys"]["new"] = entry
    repo.root["roles"]["timestamp"]["keyids"].append("new")
    repo.next_root()
    repo.publish("timestamp")
    document = repo.document("timestamp")
    document["signatures"].insert(0, {"keyid": "new", "sig": "9" * 6618})
    repo.put("timestamp", document)
    assert c.refresh() == 0 and version(c, "timestamp") == 2
    repo.root["roles"]["timestamp"]["threshold"] = 2
    repo.next_root()
    repo.publish("timestamp")
    assert c.refresh() == 1 and version(c, "root") == 3 and version(c, "timestamp") == 2


# --- 5.4: the timestamp -----------------------------------------------------------------------------------------------
def test_another_timestamp_of_the_same_version_is_passed_over_in_silence(client):
    c = client()
    assert c.refresh() == 0
    kept = c.kept("timestamp")
    c.repository.signed["timestamp"]["meta"]["snapshot.json"] = {"version": 100}
    c.repository.put("timestamp", c.repository.document("timestamp"))
    assert c.refresh() == 0
    assert c.asked() == ["2.root.json", "timestamp.json"]
    assert c.kept("timestamp") == kept


def test_an_older_timestamp_is_refused(client):
    c = client()
    old = c.repository.files["metadata/timestamp.json"]
    c.repository.publish("timestamp")
    assert c.refresh() == 0
    c.repository.files["metadata/timestamp.json"] = old
    assert c.refresh() == 1 and "rollback" in c.error
    assert versions(c) == [1, 2, 1, 1]


def test_an_expired_timestamp_is_not_kept(client):
    c = client()
    assert c.refresh() == 0
    c.repository.signed["timestamp"]["expires"] = days(-1)
    c.repository.publish("timestamp")
    assert c.refresh() == 1 and "freeze" in c.error
    assert versions(c) == [1, 1, 1, 1]


@faketime
def test_an_expired_kept_timestamp_still_counts_against_rollback(client):
    c = client()
    repo = c.repository
    old = repo.files["metadata/timestamp.json"]  # lives 30 days
    repo.signed["timestamp"]["expires"] = days(7)
    repo.publish("timestamp")
    assert c.refresh() == 0
    repo.files["metadata/timestamp.json"] = old
    assert c.refresh(time="+10 days") == 1 and "rollback" in c.error
    assert version(c, "timestamp") == 2
    repo.signed["timestamp"]["expires"] = days(20)
    repo.publish("targets", "snapshot", "timestamp")
    assert c.refresh(time="+10 days") == 0 and versions(c) == [1, 3, 2, 2]


# --- 5.5: the snapshot ------------------------------------------------------------------------------------------------
def test_listed_lengths_and_hashes_are_held_to(client):
    repo = Repository()
    repo.measured = True
    repo.publish("targets", "snapshot", "timestamp")
    c = client(repo)
    assert c.refresh() == 0
    for role in ("targets", "snapshot"):
        for member, value in (("length", 10), ("length", 1 << 20), ("hashes", {"sha256": "0" * 64}),
                              ("hashes", {"sha512": "0" * 128}), ("hashes", {"md5": "0" * 32})):
            before = version(c, role)
            repo.publish(role)
            meta = repo.signed["snapshot" if role == "targets" else "timestamp"]["meta"][role + ".json"]
            meta[member] = value
            repo.publish(*(["snapshot", "timestamp"] if role == "targets" else ["timestamp"]))
            if role == "targets":
                assert "snapshot.json" not in repo.signed["snapshot"]["meta"]
            assert c.refresh() == 1, (role, member)
            assert version(c, role) == before
    repo.publish("targets", "snapshot", "timestamp")
    assert c.refresh() == 0


def test_a_snapshot_of_another_version_than_listed_is_refused(client):
    c = client()
    repo = c.repository
    repo.publish("snapshot", "timestamp")
    repo.files["metadata/2.snapshot.json"] = repo.files["metadata/1.snapshot.json"]  # mix and match
    assert c.refresh() == 1
    assert versions(c) == [1, 2, None, None]
    repo.publish("snapshot")
    repo.files["metadata/2.snapshot.json"] = repo.files["metadata/3.snapshot.json"]
    assert c.refresh() == 1 and version(c, "snapshot") is None


def test_a_role_may_not_leave_the_snapshot(client):
    repo = Repository()
    repo.delegate("targets", "apps")
    repo.publish("apps", "targets", "snapshot", "timestamp")
    c = client(repo)
    assert c.refresh() == 0
    del repo.signed["snapshot"]["meta"]["apps.json"]
    repo.publish("snapshot", "timestamp")
    assert c.refresh() == 1 and "rollback" in c.error
    assert versions(c) == [1, 3, 2, 2]


def test_an_expired_snapshot_is_not_kept(client):
    c = client()
    c.repository.signed["snapshot"]["expires"] = days(-1)
    c.repository.publish("snapshot", "timestamp")
    assert c.refresh() == 1 and versions(c) == [1, 2, None, None]


@faketime
def test_an_expired_kept_snapshot_still_counts_against_rollback(client):
    repo = Repository()
    repo.signed["snapshot"]["expires"] = days(7)
    repo.publish("targets", "snapshot", "timestamp")
    c = client(repo)
    assert c.refresh() == 0 and versions(c) == [1, 2, 2, 2]
    repo.signed["snapshot"].update(expires=days(30))
    repo.signed["snapshot"]["meta"]["targets.json"]["version"] = 1
    repo.publish("snapshot", "timestamp")
    assert c.refresh(time="+10 days") == 1 and "rollback" in c.error
    assert versions(c) == [1, 3, 2, 2]


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_role_that_is_not_there_or_signed_wrongly_keeps_those_before_it(client, role):
    c = client()
    repo = c.repository
    assert c.refresh() == 0
    repo.publish("targets", "snapshot", "timestamp")
    expected = [1] + [2 if OWN.index(r) < OWN.index(role) else 1 for r in OWN[1:]]
    name = "metadata/" + repo.name(role, 2)
    good = repo.files.pop(name)
    assert c.refresh() == 1 and versions(c) == expected
    assert c.asked()[-1] == repo.name(role, 2)
    repo.break_signature(role)
    assert c.refresh() == 1 and versions(c) == expected and "bad-signature" in c.error
    repo.put(role, repo.document(role, [Key()]))
    assert c.refresh() == 1 and versions(c) == expected and "threshold" in c.error
    repo.files[name] = good
    assert c.refresh() == 0 and versions(c) == [1, 2, 2, 2]


@pytest.mark.parametrize("rotated", [["timestamp"], ["snapshot"], ["timestamp", "snapshot"]])
def test_new_online_keys_recover_from_versions_that_ran_ahead(client, rotated):
    c = client()
    repo = c.repository
    ahead = {"timestamp": ["timestamp"], "snapshot": ["targets"]}.get(rotated[0] if len(rotated) == 1 else "",
                                                                     ["targets", "snapshot", "timestamp"])
    for role in ahead:
        repo.signed[role]["version"] = 1000000
    repo.publish("targets", "snapshot", "timestamp")
    assert c.refresh() == 0
    for role in rotated:
        repo.rotate(role)
    repo.next_root()
    for role in ahead:
        repo.signed[role]["version"] = 4
    repo.publish("targets", "snapshot", "timestamp")
    assert c.refresh() == 0
    assert [version(c, r) for r in ahead] == [5] * len(ahead)


@pytest.mark.parametrize("how, forgets", [("taken away", True), ("replaced under its id", True), ("one more", False),
                                          ("told by whom", False), ("threshold", False)])
def test_only_a_key_that_goes_makes_versions_forgotten(client, how, forgets):
    repo = Repository()
    keys = [Key(), Key()]
    repo.trust("timestamp", keys)
    repo.next_root()
    repo.publish("timestamp")
    c = client(repo)
    assert c.refresh() == 0
    old = repo.files["metadata/timestamp.json"]
    repo.publish("timestamp")
    assert c.refresh() == 0 and version(c, "timestamp") == 3
    role = repo.root["roles"]["timestamp"]
    if how == "taken away":
        role["keyids"].pop()
    elif how == "replaced under its id":
        repo.root["keys"][keys[1].id] = Key().object
    elif how == "one more":
        repo.trust("timestamp", [*keys, Key()])
    elif how == "told by whom":
        repo.root["keys"][keys[1].id] = {**keys[1].object, "x-owner": "release team"}
        role["x-note"] = "renewed"
    else:
        role["threshold"] = 2
    repo.next_root()
    repo.files["metadata/timestamp.json"] = old  # signed by both, still in time
    assert c.refresh() == (0 if forgets else 1)
    assert version(c, "timestamp") == (2 if forgets else 3)


# --- 5.6: targets and delegations -------------------------------------------------------------------------------------
def find(client, path):
    """The delegated roles that were asked for on the way to a path, and the exit code."""
    code = client.download(path)
    return [p.split(".", 1)[1].removesuffix(".json") for p in client.asked()
            if not p.startswith("targets/") and not any(o + ".json" in p for o in OWN)], code


def tree(edges, target=None, **more):
    """A repository of delegations (parent, role, paths, terminating), and where the target is."""
    repo = Repository(**more)
    for parent, role, *rest in edges:
        repo.delegate(parent, role, rest[0] if rest else None, terminating=rest[1] if len(rest) > 1 else False)
    if target:
        repo.add(*target, b"contents")
    repo.publish_all()
    return repo


GRAPHS = [
    ("in the listed order", [("targets", "b"), ("targets", "a")], ["b", "a"]),
    ("depth first", [("targets", "a"), ("targets", "b"), ("a", "c"), ("a", "d"), ("c", "e")], ["a", "c", "e", "d", "b"]),
    ("names like numbers keep their order", [("targets", "2"), ("targets", "10"), ("targets", "1")], ["2", "10", "1"]),
    ("a terminating one ends it", [("targets", "a", ["*"], True), ("targets", "b"), ("a", "c")], ["a", "c"]),
    ("and all above it", [("targets", "a"), ("targets", "b"), ("a", "c", ["*"], True), ("a", "d"), ("c", "e")],
     ["a", "c", "e"]),
    ("one that does not match ends nothing", [("targets", "a", ["x*"], True), ("targets", "b")], ["b"]),
    ("a circle is walked once", [("targets", "a"), ("a", "b"), ("b", "a"), ("b", "b"), ("b", "c")], ["a", "b", "c"]),
    ("a pattern of the parent bounds the child", [("targets", "a", ["x"]), ("a", "b"), ("targets", "c")], ["c"]),
]


@pytest.mark.parametrize("name, edges, expected", GRAPHS, ids=[g[0] for g in GRAPHS])
def test_delegations_are_walked_in_pre_order(client, name, edges, expected):
    c = client(tree(edges))
    assert find(c, "file") == (expected, 1)
    assert sorted(c.roles()) == sorted(r + ".json" for r in [*OWN, *expected])
    assert find(c, "file") == ([], 1)  # kept, verified again and walked again


def test_the_first_that_lists_a_target_has_it(client):
    repo = tree([("targets", "a"), ("targets", "b")])
    for role, data in (("a", b"first"), ("b", b"second")):
        repo.add(role, "file", data)
        repo.publish_all()
        repo.targets.clear()
    c = client(repo)
    assert find(c, "file") == (["a"], 0)
    assert c.files() == [b"first"]


PATTERNS = [
    ("targets/*.tgz", "targets/foo.tgz", True), ("targets/*.tgz", "targets/foo.txt", False),
    ("*.tgz", "targets/foo.tgz", False), ("foo-version-?.tgz", "foo-version-a.tgz", True),
    ("foo-version-?.tgz", "foo-version-alpha.tgz", False), ("a?b", "a/b", False), ("a*", "a", True),
    ("*/*", "a/b", True), ("*/*", "a/b/c", False), ("*", "a/b", False), ("a/*", "a", False), ("a/b", "a/b", True),
    ("a/[bc]", "a/c", True), ("a/[!c]", "a/c", False), ("a\\*", "a*", False), ("", "a", False), ("a/*", "b/a", False),
    ("**", "a/b", False), ("a*b*c*d", "aXbYcZd", True), ("[a", "[a", True), ("*", ".hidden", True),
    ("?", "\u00e9", True), ("??", "\u00e9", False), ("[\u00e0-\u00ff]", "\u00e9", True), ("a" + "*a" * 99 + "b", "a" * 400, False),
]


def test_patterns_match_segment_by_segment(client):
    repo = Repository()
    for n, (pattern, path, _) in enumerate(PATTERNS):
        repo.delegate("targets", f"r{n}", [f"{n}/{pattern}"])
        repo.add(f"r{n}", f"{n}/{path}", b"contents")
    repo.publish_all()
    c = client(repo)
    assert c.download(*[f"{n}/{p}" for n, (_, p, good) in enumerate(PATTERNS) if good]) == 0
    for n, (pattern, path, good) in enumerate(PATTERNS):
        if not good:
            assert find(c, f"{n}/{path}") == ([], 1), (pattern, path)


def test_prefixes_of_the_hash_of_a_path_choose_a_bin(client):
    repo, digest = Repository(), hashlib.sha256(b"a/file").hexdigest()
    rest = hashlib.sha256(b"neither").hexdigest()
    other = next(d for d in "0123" if d not in (digest[0], rest[0]))
    repo.delegate("targets", "none", prefixes=[other, digest + "0", digest[:3] + "x"])
    repo.delegate("targets", "bin", prefixes=[other, digest[:3]])
    repo.delegate("targets", "rest", prefixes=[""])
    repo.add("bin", "a/file", b"contents")
    repo.publish_all()
    c = client(repo)
    assert find(c, "a/file") == (["bin"], 0)
    assert find(c, "neither") == (["rest"], 1)


@pytest.mark.parametrize("bits", [1, 4, 5, 12, 32])
def test_succinct_bins_are_found_by_the_first_bits_of_the_hash(client, bits):
    repo, key = Repository(), Key()
    number = int(hashlib.sha256(b"a/file").hexdigest()[:8], 16) >> (32 - bits)
    name = f"bin-{number:0{(bits + 3) // 4}x}"
    repo.signed["targets"]["delegations"] = {"keys": {key.id: key.object}, "succinct_roles": {
        "keyids": [key.id], "threshold": 1, "bit_length": bits, "name_prefix": "bin"}}
    repo.make(name, [key])
    repo.add(name, "a/file", b"contents")
    repo.publish_all()
    c = client(repo)
    assert find(c, "a/file") == ([name], 0)
    repo.signers[name] = [Key()]
    repo.publish_all()
    assert c.download("a/file") == 1 and "threshold" in c.error


def test_two_and_thirty_roles_are_visited_and_no_more(client):
    edges = [("targets", "r1")] + [(f"r{n}", f"r{n + 1}") for n in range(1, 40)]
    c = client(tree(edges))
    walked, code = find(c, "file")
    assert code == 1 and walked == [f"r{n}" for n in range(1, 32)]  # and targets


@pytest.mark.parametrize("what", ["threshold", "version", "expired", "hash", "type", "gone"])
def test_a_delegated_role_is_held_to_all_that_targets_are(client, what):
    repo = Repository()
    keys = [Key(), Key(), Key()]
    repo.delegate("targets", "apps", keys=keys, threshold=2)
    repo.add("apps", "file", b"contents")
    repo.measured = what == "hash"
    repo.publish_all()
    c = client(repo)
    assert c.download("file") == 0 and version(c, "apps") == 1
    if what == "threshold":
        repo.signers["apps"] = keys[:1]
    elif what == "expired":
        repo.signed["apps"]["expires"] = days(-1)
    elif what == "type":
        repo.signed["apps"]["_type"] = "snapshot"
    repo.publish("apps")
    if what == "hash":
        repo.files["metadata/2.apps.json"] += b" "
    elif what == "version":
        repo.files["metadata/2.apps.json"] = repo.files["metadata/1.apps.json"]
    elif what == "gone":
        del repo.files["metadata/2.apps.json"]
    repo.publish("snapshot", "timestamp")
    assert c.download("file") == 1 and version(c, "apps") == 1
    assert c.asked()[-1] == "2.apps.json"


# --- 5.7: what is fetched at last -------------------------------------------------------------------------------------
def test_a_download_refreshes_first(client):
    c = client()
    assert c.download("nothing") == 1
    assert c.asked() == FRESH and "not-found" in c.error


def test_a_target_is_stored_once_and_not_asked_for_again(client):
    c = client(with_target())
    assert c.download("a/file") == 0
    assert c.repository.asked[-1] == "targets/a/%s.file" % hashlib.sha256(b"contents").hexdigest()
    assert c.download("a/file") == 0
    assert not [p for p in c.repository.asked if p.startswith("targets/")]
    assert c.files() == [b"contents"]
    c.repository.add("targets", "a/file", b"changed")
    c.repository.publish_all()
    assert c.download("a/file") == 0
    assert c.files() == [b"changed"]


@pytest.mark.parametrize("algorithms", [["sha256"], ["sha512"], ["sha256", "sha512"], ["sha512", "md5"]])
def test_each_known_hash_is_enough_and_all_are_checked(client, algorithms):
    repo = Repository()
    repo.add("targets", "file", b"contents", algorithms)
    repo.publish_all()
    c = client(repo)
    assert c.download("file") == 0 and c.files() == [b"contents"]
    listed = repo.signed["targets"]["targets"]["file"]["hashes"]
    for algorithm in [a for a in algorithms if a != "md5"]:
        good, listed[algorithm] = listed[algorithm], hashlib.new(algorithm, b"other").hexdigest()
        for name in [p for p in repo.files if p.endswith(".file")]:
            repo.files["targets/" + listed[algorithm] + ".file"] = repo.files[name]
        repo.publish_all()
        os.unlink(os.path.join(c.t, "file"))
        assert c.download("file") == 1 and c.files() == []
        listed[algorithm] = good
        repo.publish_all()
        assert c.download("file") == 0


def test_a_hash_that_nobody_knows_is_none(client):
    repo = Repository()
    repo.add("targets", "file", b"contents", ["md5"])
    repo.publish_all()
    c = client(repo)
    assert c.download("file") == 1 and c.files() == []


def test_several_targets_come_in_order_and_the_first_failure_stops(client):
    repo = Repository()
    for n in range(4):
        repo.add("targets", f"t{n}", b"%d" % n)
    repo.publish_all()
    c = client(repo)
    assert c.download("t2", "t0", "absent", "t1") == 1
    assert c.files() == [b"0", b"2"]
    assert [p[-2:] for p in c.repository.asked if p.startswith("targets/")] == ["t2", "t0"]
    assert [p for p in c.repository.asked if "root" in p] == ["metadata/2.root.json"]


@pytest.mark.parametrize("other", [b"CONTENTS", b"content", b"contents and more", b""])
def test_bytes_that_are_not_the_listed_ones_are_not_stored(client, other):
    c = client(with_target())
    name = next(p for p in c.repository.files if p.endswith(".file") and hashlib.sha256(b"contents").hexdigest() in p)
    c.repository.files[name] = other
    assert c.download("a/file") == 1 and c.files() == []


def test_what_lies_there_and_was_changed_is_had_again(client):
    c = client(with_target())
    assert c.download("a/file") == 0
    with open(os.path.join(c.t, os.listdir(c.t)[0]), "wb") as f:
        f.write(b"CONTENTS")
    assert c.download("a/file") == 0 and c.files() == [b"contents"]


def test_an_empty_target_is_one(client):
    repo = Repository()
    repo.add("targets", "empty", b"")
    repo.publish_all()
    c = client(repo)
    assert c.download("empty") == 0 and c.files() == [b""]


@pytest.mark.parametrize("argv", [[], ["refresh"], ["--metadata-dir", "D", "refresh"], ["--metadata-url", "http://x/", "refresh"],
                                  ["--metadata-dir", "D", "--metadata-url", "http://x/", "download"], ["init"], ["sing"]])
def test_too_few_words_are_an_exit_of_1(client, argv):
    c = client()
    assert c.run(*argv) == 1 and c.asked() == []
