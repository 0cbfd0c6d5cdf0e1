"""nginx as it ships: Debian's server in a release of ours, from install to stop."""

import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from estate import BIN, ROOT, SITE, Estate, operations_of, until

pytestmark = pytest.mark.skipif(not (os.path.exists(os.path.join(BIN, "mainstay")) and os.path.exists("/usr/sbin/nginx")),
                                reason="needs the built programs and nginx")
POLICY = """v: 1
approvers:
  - {{name: olga, key: "{key}"}}
rules:
  - services: [nginx]
    operations: [status, head, timing, health, events, requests, requests-summary, test-config, config, version, files,
                 space, reload, restart]
    decision: allow
"""
# What a person might try to put into the file by a knob; the server goes on, and the file has none of it.
HOSTILE = ["server-name=a;include /etc/passwd", "server-name=a b", "server-name=a}", "server-name=$host", "server-name=*",
           'server-name="a"', "server-name=a\n}", "index=../secret", "index=index.html;autoindex on", "index=$uri",
           "address=127.0.0.1:80;#", "error-log-level=debug; load_module /tmp/x", "port=80", "proxy-port=70000",
           "gzip=on;", "keepalive-timeout=1s;}"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(port, path="/"):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    link.request("GET", path)
    answer = link.getresponse()
    return answer.status, answer.read().decode()


def release(estate, port, **changes):
    """A folder of nginx that listens where this machine has room."""
    folder = os.path.join(estate.path(f"release-{len(os.listdir(estate.dir))}"), "nginx")
    shutil.copytree(os.path.join(ROOT, "packaging", "services", "nginx"), folder)
    file = os.path.join(folder, "service.yaml")
    with open(file) as f:
        text = f.read()
    for old, new in {"default: 8080": f"default: {port}", **changes}.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with open(file, "w") as f:
        f.write(text)
    return folder


def set_knobs(estate, *knobs, code=0):
    return estate.mainstay("service", "set", "nginx", *knobs, code=code)


def test_requests_are_summed_up_whatever_they_say():
    """Lines as nginx writes them for what anybody may send; half a line, and lines that are none, do not count."""
    lines = ['9 "GET /half HTTP/1.1" 200 5 "-" "-" 9.000', "2026/11/22 08:00:00 [error] 7#7: *1 open() failed, request: \"GET /e HTTP/1.1\"",
             *(f'10.0.0.{n} - - [22/Nov/2026:08:00:0{n} +0000] "{request}" {status} 10 "http://r/?key=hush" "{agent}" {took}'
               for n, request, status, agent, took in (
                   (1, "GET /a?token=hush HTTP/1.1", 200, "curl", "0.010"), (2, "GET /a#hush HTTP/1.1", 200, "a\\x22 b", "0.510"),
                   (3, "GET /b HTTP/1.1", 404, "\\x1B[2J", "0.000"), (4, "\\x16\\x03\\x01", 400, "-", "0.000"),
                   (5, "GET /" + "c" * 500 + " HTTP/1.1", 502, "$(id)", "60.001")))]
    awk = ["mawk", "-f", os.path.join(ROOT, "packaging", "services", "nginx", "summary.awk"), "-v", "skip=1", "-v", "count=2"]
    done = subprocess.run(awk, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "5 requests from 22/Nov/2026:08:00:01 +0000 to 22/Nov/2026:08:00:05 +0000, 50 bytes",
        "statuses", "  2  200", "  1  400", "paths", "  2  /a", "  1  (no request)",
        "not answered well", "  1  400 (no request)", "  1  404 /b",
        "slowest", "  60.001 s  /" + "c" * 119 + "...", "  0.51 s  /a"] and done.stderr == ""
    none = subprocess.run(awk, input="x\ny\n", capture_output=True, text=True, check=True)
    assert none.stdout.startswith("no requests in the part")


def test_nginx_from_install_to_stop():
    port, other = free_port(), free_port()
    with Estate("service-nginx") as e:
        e.vendor(release(e, port))
        e.start_site()
        e.enrol()
        e.policy(POLICY)
        e.mainstay("on", "all")
        e.mainstay("service", "install", "nginx")
        until("passing", lambda: e.service("nginx")["health"] == "passing")
        www = e.path("site", "lib", "services", "nginx", "data", "www")
        os.makedirs(os.path.join(www, "sub"))
        os.chmod(os.path.join(www, "sub"), 0o755)
        for name in ("index.html", "sub/page.txt"):
            with open(os.path.join(www, name), "w") as f:
                f.write("hello\n")
            os.chmod(os.path.join(www, name), 0o644)
        os.symlink("/etc/passwd", os.path.join(www, "link"))
        assert get(port) == (200, "hello\n")
        if os.geteuid() == 0:  # links lead to what their owner owns; without root all is one user's
            assert get(port, "/link")[0] in (403, 404)
        assert get(port, "/sub/")[0] == 403

        pid = e.shim("nginx")["pid"]
        with open(f"/proc/{pid}/limits") as f:
            files = next(line.split()[3] for line in f if line.startswith("Max open files"))
        with open("/proc/self/limits") as f:
            most = next(line.split()[4] for line in f if line.startswith("Max open files"))
        assert int(files) == min(16384, int(most)), "as many as the definition says"
        with open(f"/proc/{pid}/status") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        assert os.geteuid() != 0 or status["Uid"].split()[0] not in ("0", "33")

        knobs(e, port, other, pid)
        proxies(e, other)
        operations(e, other)
        heals(e, other)
        upgrade(e, port, other, www)
        e.mainstay("service", "stop", "nginx")
        with pytest.raises(OSError):
            get(other)
        assert not [w for _, w in e.processes() if "nginx.conf" in w]


def knobs(e, port, other, pid):
    set_knobs(e, "autoindex=true", "server-name=www.example.org")
    until("reloaded", lambda: get(port, "/sub/")[0] == 200)
    assert e.shim("nginx")["pid"] == pid, "a reload, no restart"
    set_knobs(e, f"port={other}")
    assert get(other) == (200, "hello\n") and e.shim("nginx")["pid"] != pid
    with pytest.raises(OSError):
        get(port)
    pid = e.shim("nginx")["pid"]
    conf = e.path("site", "lib", "services", "nginx", "conf", "nginx.conf")
    before = open(conf).read()
    for value in HOSTILE:
        said = set_knobs(e, value, code=1).stderr
        assert "[malformed]" in said, said
    assert open(conf).read() == before and e.shim("nginx")["pid"] == pid
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        set_knobs(e, f"port={taken.getsockname()[1]}", code=1)
        until("back at its former port", lambda: get(other) == (200, "hello\n"))
    assert open(conf).read() == before


class Behind(http.server.BaseHTTPRequestHandler):
    """A program behind nginx: says what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = json.dumps([self.path, self.headers["Host"], self.headers["X-Forwarded-For"],
                           self.headers["X-Forwarded-Proto"]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


def proxies(e, port):
    """Before a program on loopback: its answers with the client's address, 502 when it is gone, then files again."""
    pid = e.shim("nginx")["pid"]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind) as behind:
        threading.Thread(target=behind.serve_forever, daemon=True).start()
        set_knobs(e, f"proxy-port={behind.server_address[1]}", "proxy-timeout=5s")
        status, text = until("the program behind", lambda: (lambda got: got if got[1].startswith("[") else None)(
            get(port, "/sub/x?y=%2F")))
        assert (status, json.loads(text)) == (200, ["/sub/x?y=%2F", f"127.0.0.1:{port}", "127.0.0.1", "http"])
        behind.shutdown()
    assert get(port)[0] == 502 and e.service("nginx")["health"] == "passing"
    set_knobs(e, "proxy-port=", "proxy-timeout=")
    until("files", lambda: get(port) == (200, "hello\n"))
    assert e.shim("nginx")["pid"] == pid, "reloads, no restart"


def operations(e, port):
    """Each as an engineer asks for it, with what a person would see by it."""
    assert "no requests" in e.desk_all("nginx", ["requests-summary"])[0]["stdout"], "none is logged unless a knob says so"
    pid = e.shim("nginx")["pid"]
    set_knobs(e, "access-log=true", "error-log-level=info")
    until("logged", lambda: get(port, "/sub/page.txt?token=hush")[0] == 200 and get(port, '/no"such')[0] == 404 and
          "hush" in e.mainstay("service", "logs", "nginx").stdout)
    must_look = {
        ("status",): "Active connections", ("health",): "well\n", ("version",): "nginx/",
        ("head", "path=/sub/page.txt"): "HTTP/1.1 200 OK", ("timing", "path=/no"): "status 404\nbytes ",
        ("events", "weight=3", "count=5"): "[notice]", ("requests", "count=3", "kb=64"): " 404 ",
        ("requests-summary", "count=3"): "404 /no", ("reload",): ""}
    must_change = {
        ("test-config",): "test is successful", ("config",): "stub_status;", ("files", "folder=/sub"): "page.txt",
        ("space", "depth=1"): "/data/www/sub\n"}
    done = {}
    for asks in (must_look, must_change):
        for ask, answer in zip(asks, e.desk_all("nginx", *asks)):
            done[ask[0]] = said = answer["result"]
            assert said["outcome"] == "ok" and asks[ask] in said["stdout"] + said["stderr"], (ask, said)
    assert set(done) - {"reload"} == operations_of("nginx")
    summary = done["requests-summary"]["stdout"]
    assert "/sub/page.txt" in summary and "hush" not in summary and "127.0.0.1" not in summary
    assert e.shim("nginx")["pid"] == pid, "a reload, no restart"
    for ask in (["head", "path=/a b"], ["head", "path=http://x"], ["timing", "path=/a\r\nX: y"], ["timing", "path=-o/x"],
                ["files", "folder=/.."], ["files", "folder=/../../conf"], ["events", "weight=9"],
                ["events", "count=1;system(1)"], ["requests", "kb=0"], ["requests-summary", "count=9999"],
                ["space", "depth=4"]):
        said = e.desk("run", SITE, "nginx", *ask, "--reason", "r", "--ticket", "t", code=1).stderr
        assert "[malformed]" in said, said
    assert e.desk_all("nginx", ["restart"])[0]["result"]["outcome"] == "ok" and e.shim("nginx")["pid"] != pid


def heals(e, port):
    until("metrics at the vendor", lambda: {m["name"]: m["value"] for m in e.desk_json("show", SITE)["metrics"]}
          ["nginx_requests"] > 3)
    before = e.shim("nginx")["pid"]
    os.kill(before, signal.SIGKILL)
    until("healed", lambda: e.shim("nginx")["pid"] not in (0, before) and get(port) == (200, "hello\n"))


def upgrade(e, port, other, www):
    e.publish(release(e, port, **{'version: "1.22.1"': 'version: "1.22.2"', "default: 65s": "default: 33s"}))
    e.mainstay("update", "check")
    until("a plan", lambda: "sha256:" in e.mainstay("update", "plan").stdout)
    e.mainstay("update", "apply")
    lock = until("the new release", lambda: (lambda s: s if s["version"] == "1.22.2" else None)(
        json.load(open(e.path("site", "lib", "cluster.lock")))["services"]["nginx"]))
    assert lock
    with open(e.path("site", "lib", "services", "nginx", "conf", "nginx.conf")) as f:
        assert "keepalive_timeout 33s;" in f.read()
    assert get(other) == (200, "hello\n"), "the customer's knob stays"
    kept = subprocess.run(["find", os.path.dirname(www), "-path", "*.snapshot/*/www/index.html"], capture_output=True,
                          text=True, check=True)
    assert kept.stdout.count("\n") == 1, kept
