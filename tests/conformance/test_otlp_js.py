"""OpenTelemetry's own SDK for JavaScript sends metrics and logs to the hub with a bearer token; the hub gives back, field by
field, what the SDK held.  Needs node, npm and a registry; without them it says that it skips."""

import json
import math
import os
import shutil
import subprocess
import sys
import urllib.parse
from datetime import datetime, timezone

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from hub import Hub  # noqa: E402


@pytest.fixture(scope="module", name="npm")
def fixture_npm(tmp_path_factory):
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is absent")
    folder = tmp_path_factory.mktemp("npm-otlp")
    for name in ("package.json", "package-lock.json", "peer.js"):
        shutil.copy(os.path.join(HERE, "npm-otlp", name), folder)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, timeout=120,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("npm gets no OpenTelemetry: " + done.stderr.strip().splitlines()[-1])
    return folder


@pytest.fixture(scope="module", name="world")
def fixture_world(npm):
    with Hub() as hub:
        hub.make_repo()
        ada = hub.engineer("ada", roles="support,enrol")

        def send(site, compression="gzip", token=None):
            job = {"url": hub.url, "token": token or mint(hub, site), "compression": compression}
            done = subprocess.run(["node", "peer.js", json.dumps(job)], cwd=npm, timeout=60, capture_output=True, text=True,
                                  env=os.environ | {"NODE_EXTRA_CA_CERTS": hub.ca}, check=False)
            assert done.returncode == 0 and done.stdout, done.stderr[-2000:]
            return json.loads(done.stdout)

        yield hub, ada, send


def mint(hub, site):
    return hub.command("token", "--customer", "acme", "--site", site, "--expires", "1h", "--otlp").stdout.decode().strip()


def stamp(ms):
    return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (ms % 1000)


def series_of(point):
    """What the hub keeps of a point: [(name, attributes, value)]."""
    value, name, attributes = point["value"], point["name"], point["attributes"]
    if not isinstance(value, dict):
        return [(name, attributes, value)]
    below, parts = 0, [(name + "_count", attributes, value["count"]), (name + "_sum", attributes, value["sum"])]
    for bound, count in zip(value["buckets"]["boundaries"] + [math.inf], value["buckets"]["counts"]):
        below += count
        le = "+Inf" if bound == math.inf else "%g" % bound
        parts.append((name + "_bucket", attributes | {"le": le}, below))
    return parts


def key(name, unit, attributes, time, value):
    return name, unit, json.dumps(attributes, sort_keys=True), time, value


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_what_the_sdk_holds_the_hub_says(world, compression):
    hub, ada, send = world
    site = "js-" + compression
    hub.accepted_site(ada, site)
    told = send(site, compression)
    assert told["metrics"] == {"code": 0} and told["logs"] == {"code": 0}
    sent = [key(name, p["unit"], attributes, stamp(p["time_ms"]), value)
            for p in told["points"] for name, attributes, value in series_of(p)]
    assert len(sent) == 11 and len({s[0] for s in sent}) == 8
    items = ada.get("/v1/fleet/sites/%s/metrics?service=otlp:shop" % site).json()["items"]
    kept = [key(i["name"], i["unit"], i["attributes"], time, value) for i in items for time, value in i["points"]]
    assert sorted(kept) == sorted(sent)

    sent = [{"time": stamp(r["time_ms"]), "service": "otlp:shop", "severity": r.get("severity", 0), "source": r["source"],
             "body": r["body"], **({"severity_text": r["text"]} if "text" in r else {}),
             **({"attributes": r["attributes"]} if r["attributes"] else {})} for r in told["records"]]
    assert len(sent) == 4
    assert ada.get("/v1/fleet/sites/%s/logs?service=otlp:shop" % site).json()["items"] == sent
    # In either case, and by what the text holds.
    found = ada.get("/v1/fleet/sites/%s/logs?match=%s" % (site, urllib.parse.quote("HöLLO"))).json()["items"]
    assert found == sent[:1]


def test_a_token_that_does_not_hold_is_told_the_sender(world):
    hub, ada, send = world
    hub.accepted_site(ada, "js-token")
    good = mint(hub, "js-token")
    told = send("js-token", token=good[:-1] + ("0" if good[-1] != "0" else "1"))
    assert (told["metrics"]["code"], told["metrics"]["status"]) == (1, 401)
    assert (told["logs"]["code"], told["logs"]["status"]) == (1, 401)
    assert ada.get("/v1/fleet/sites/js-token/metrics?service=otlp:shop").json()["items"] == []
    assert ada.get("/v1/fleet/sites/js-token/logs").json()["items"] == []
