"""The hub and a site before Debian's Prometheus and promtool: what both show is read whole."""

import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest

from hub import Hub
from proxy import free_port
from site_alone import Site, until

PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
NODE_EXPORTER = shutil.which("prometheus-node-exporter")
OPENMETRICS = "application/openmetrics-text"


@pytest.fixture(scope="module")
def hub():
    with Hub(name="scraped") as h:
        yield h


def settings(site, more=""):
    etc = os.path.join(site.dir, "etc")
    os.makedirs(etc, exist_ok=True)
    with open(os.path.join(etc, "new.yaml"), "w") as f:
        f.write("telemetry:\n  period: 1s\n  listen: %s\n%s" % (urllib.parse.urlparse(site.page).netloc, more))
    os.rename(os.path.join(etc, "new.yaml"), os.path.join(etc, "mainstay.yaml"))


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def site():
    s = Site("scraped")
    try:
        s.page = "http://127.0.0.1:%d/metrics" % free_port()
        settings(s)
        s.up()
        until("numbers are shown", lambda: answers(s.page))
        yield s
    finally:
        s.down()


def hub_shows(hub, accept):
    done = subprocess.run(["curl", "-sS", "-D", "-", "--cacert", hub.ca, "-H", "Accept: " + accept, hub.url + "/metrics"],
                          capture_output=True, check=True, timeout=20)
    head, body = done.stdout.split(b"\r\n\r\n", 1)
    return head.decode(), body


def content(text):
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr


@pytest.mark.skipif(not PROMTOOL, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_is_content_with_hub_and_site(hub, site):
    head, body = hub_shows(hub, "text/plain")
    assert "text/plain; version=0.0.4" in head
    content(body)
    content(site.run("metrics").stdout.encode())
    with urllib.request.urlopen(site.page, timeout=5) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        content(reply.read())


@pytest.mark.skipif(not PROMETHEUS, reason="prometheus is not installed")
def test_prometheus_scrapes_hub_and_site(hub, site, tmp_path):
    assert hub_shows(hub, OPENMETRICS)[1].endswith(b"\n# EOF\n")
    port = free_port()
    (tmp_path / "p.yml").write_text("""
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- {job_name: hub, scheme: https, tls_config: {ca_file: %s}, static_configs: [{targets: ["%s"]}]}
- {job_name: site, static_configs: [{targets: ["%s"]}]}
""" % (hub.ca, hub.authority, urllib.parse.urlparse(site.page).netloc))
    with open(tmp_path / "log", "wb") as log:
        prometheus = subprocess.Popen([PROMETHEUS, "--config.file=p.yml", "--storage.tsdb.path=data",
                                       "--web.listen-address=127.0.0.1:%d" % port], cwd=tmp_path, stdout=log, stderr=log)

    def ask(path, **query):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (port, path, urllib.parse.urlencode(query))
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return json.load(reply)["data"]
        except OSError:
            return {}

    def all_up():
        targets = ask("targets").get("activeTargets", [])
        assert not [t["lastError"] for t in targets if t["lastError"]]
        return len(targets) == 2 and all(t["health"] == "up" for t in targets)

    try:
        until("both are up", all_up)
        for metric in ("mainstay_hub_inflight", "mainstay_hub_refusals_total", "host_boot_time_seconds", "host_cpu_seconds_total"):
            assert ask("query", query=metric)["result"], metric
        # As OpenMetrics: the type of a counter stands under its name without _total.
        assert ask("metadata", metric="mainstay_hub_refusals")["mainstay_hub_refusals"][0]["type"] == "counter"
    finally:
        prometheus.terminate()
        prometheus.wait(10)


@pytest.mark.skipif(not NODE_EXPORTER, reason="prometheus-node-exporter is not installed")
def test_the_customers_own_exporter_is_scraped_by_its_name(site):
    port = free_port()
    exporter = subprocess.Popen([NODE_EXPORTER, "--web.listen-address=127.0.0.1:%d" % port, "--collector.disable-defaults",
                                 "--collector.loadavg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def waits():
        return [i for i in site.json("telemetry", "review")["items"] if i["field"] == "node_load1"]

    try:
        settings(site, "  scrape:\n  - {nme: node}\n")
        refused = site.json("metrics", code=None)
        assert "mainstay.yaml:5:6" in str(refused) and "did you mean" in str(refused), refused
        settings(site, "  scrape: [{name: node, url: \"http://127.0.0.1:%d/metrics\"}]\n" % port)
        # A command connects itself ...
        until("it answers", lambda: 'up{service="node"} 1' in site.run("metrics").stdout)
        assert 'node_load1{service="node"}' in site.run("metrics").stdout
        # ... the collector is connected, and what it got waits to be accepted.
        [field] = until("it waits for review", waits)
        site.run("telemetry", "accept", "node_load1")
        shown = until("it may leave", lambda: [i for i in site.json("telemetry", "preview")["items"] if i["name"] == "node_load1"])
        assert shown[0]["service"] == "node", (field, shown)
    finally:
        exporter.terminate()
        exporter.wait(10)
