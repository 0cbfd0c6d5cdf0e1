"""Another site key, and two sites with one: what hub, desk and site say."""

import json
import os
import shutil
import signal

import pytest

from estate import CUSTOMER, SITE, Daemon, Estate, until


@pytest.fixture(scope="module")
def estate():
    with Estate("rotate") as e:
        e.begin()
        e.mainstay("on", "all")
        until("a statement", lambda: e.desk_json("show", SITE)["statement"])
        yield e


def page(e):
    return e.desk_json("show", SITE)


@pytest.mark.flow
def test_a_key_gives_its_place_to_another(estate):
    old = page(estate)["key"]
    done = estate.mainstay_json("enrol", "--rotate")
    assert done["key"] != old and done["fingerprint"].startswith("sha256:")
    assert estate.leaves(kind="rotate")
    # The desk follows from the record's key to the present one, and what the site says is signed by that.
    after = until("a statement by the new key",
                  lambda: (lambda p: p["key"] == done["key"] and p["statement"] and p)(page(estate)))
    assert len(after["rotations"]) == 1 and after["record"]["key"] == old
    again = estate.mainstay_json("enrol", "--rotate")
    until("a second step", lambda: len(page(estate)["rotations"]) == 2)
    estate.desk("accept", SITE, "--fingerprint", again["fingerprint"])
    fresh = page(estate)
    assert fresh["rotations"] == [] and fresh["record"]["key"] == again["key"] == fresh["key"]
    until("a heartbeat under it",
          lambda: (page(estate)["statement"] or {"counter": 0})["counter"] > after["statement"]["counter"])
    estate.mainstay("audit", "verify")


@pytest.mark.flow
def test_a_rotation_that_was_cut_off_is_finished_by_the_courier(estate):
    """The hub has swapped and the answer was lost with the power: the old key is no good, the next one waits."""
    out = estate.path("rotation")
    estate.mainstay("enrol", "--rotate", "--file", out)
    with open(out) as f:
        body = json.load(f)
    assert set(body) == {"v", "rotation", "daemon"}
    os.kill(estate.pids("mainstayd")[0], signal.SIGKILL)
    until("the new key", lambda: estate.leaves(kind="rotate") and len(estate.leaves(kind="rotate")) == 3, 60)
    until("the desk follows", lambda: len(page(estate)["rotations"]) == 1)


def take_copy(e):
    """The state of the site at rest, as it would lie on another machine: there the daemons' users have the same names.
    Here they follow from the path, so each file goes to the copy's user of that role."""
    there, here = e.path("copy", "lib", "courier"), e.path("site", "lib", "courier")
    shift = os.stat(there).st_uid - os.stat(here).st_uid
    shutil.rmtree(e.path("copy"))
    e.mainstay("run", "--down")
    e.site.stop()
    for part in ("etc", "lib"):
        shutil.copytree(e.path("site", part), e.path("copy", part), symlinks=True)
        for folder, _, names in os.walk(e.path("site", part)):
            for path in [folder] + [os.path.join(folder, name) for name in names]:
                of = os.stat(path, follow_symlinks=False)
                uid, gid = (n + shift if n >= 61184 else n for n in (of.st_uid, of.st_gid))
                to = path.replace(e.path("site"), e.path("copy"), 1)
                os.chown(to, uid, gid, follow_symlinks=False)
                os.chmod(to, of.st_mode & 0o7777)
    e.start_site()


@pytest.mark.flow
def test_a_copied_site_is_noticed_on_both_sides(estate):
    copy_log = os.path.join(estate.logs, "copy.log")
    Daemon(copy_log, "mainstay", "run", "--state", estate.path("copy")).stop()
    take_copy(estate)
    copy = Daemon(copy_log, "mainstay", "run", "--state", estate.path("copy"))
    try:
        shown = until("the hub's mark", lambda: (lambda p: p.get("clone") and p)(page(estate)), 60)
        assert shown["status"] == "cloned"
        first, second = shown["clone"]["first"], shown["clone"]["second"]
        assert first["address"] == second["address"] == "127.0.0.1" and second["statement"]
        alert = next(a for a in estate.desk_json("alerts")["items"] if a["name"] == "cloned")
        assert alert["state"] == "firing" and alert["site"] == SITE
        assert "mainstay enrol --rotate" in estate.desk("show", SITE).stdout

        def said(where):
            done = estate.run("mainstay", "--state", estate.path(where), "status", "--json")
            return json.loads(done.stdout).get("clone")

        assert until("the copy knows", lambda: said("copy"))["by"] == "site"
        assert until("the true one hears", lambda: said("site"), 60)["by"] == "hub"
        assert estate.leaves(kind="clone")

        # The true one takes another key; the copy is then nobody.
        estate.mainstay("enrol", "--rotate")
        assert said("site") is None
        estate.desk("accept", SITE)
        until("the mark is gone", lambda: page(estate)["status"] == "accepted" and "clone" not in page(estate), 60)
        until("the alert is over", lambda: all(a["state"] == "resolved" for a in estate.desk_json("alerts")["items"]
                                               if a["name"] == "cloned"), 60)
    finally:
        estate.run("mainstay", "--state", estate.path("copy"), "run", "--down", code=None)
        copy.stop()
