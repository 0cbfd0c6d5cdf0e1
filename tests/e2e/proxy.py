"""Proxies between a site and its hub: real ones, and one that lies.

Tinyproxy passes CONNECT on, with or without a login.  An Opener answers CONNECT itself and hands the bytes to a front
that ends TLS under a CA of the customer's own: nginx, or a Liar, which looks at each reply and says what it likes.
"""

import datetime
import ipaddress
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LOOPBACK = "127.0.0.1"


def free_port():
    with socket.socket() as s:
        s.bind((LOOPBACK, 0))
        return s.getsockname()[1]


def wait_for(port, timeout=10):
    end = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((LOOPBACK, port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end, f"nobody listens on {port}"
            time.sleep(0.05)


class Tinyproxy:
    def __init__(self, folder, port=None, login=None):
        if not shutil.which("tinyproxy"):
            pytest.skip("tinyproxy is absent")
        self.port = port or free_port()
        self.log = os.path.join(folder, f"tinyproxy.{self.port}.log")
        conf = os.path.join(folder, f"tinyproxy.{self.port}.conf")
        with open(conf, "w") as f:
            f.write(f"Port {self.port}\nListen {LOOPBACK}\nTimeout 120\nLogFile \"{self.log}\"\nLogLevel Connect\n"
                    f"MaxClients 50\nAllow {LOOPBACK}\n" + (f"BasicAuth {login.replace(':', ' ')}\n" if login else ""))
        self.url = f"http://{login + '@' if login else ''}{LOOPBACK}:{self.port}"
        self.process = subprocess.Popen(["tinyproxy", "-d", "-c", conf], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def connects(self, port):
        """How often it was asked for the way to this port."""
        with open(self.log) as f:
            return f.read().count(f"CONNECT {LOOPBACK}:{port} ")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Squid:
    """The proxy that most companies have, with a login checked by its own helper."""

    HELPER = "/usr/lib/squid/basic_ncsa_auth"

    def __init__(self, folder, port, login):
        if not (shutil.which("squid") and os.path.exists(self.HELPER)):
            pytest.skip("squid is absent")
        self.port, name, password = port, *login.split(":")
        self.folder = os.path.join(folder, "squid")
        os.makedirs(self.folder)
        self.log = os.path.join(self.folder, "access.log")
        hashed = subprocess.run(["openssl", "passwd", "-apr1", "-stdin"], input=password, capture_output=True, text=True,
                                check=True).stdout.strip()
        users, conf = os.path.join(self.folder, "users"), os.path.join(self.folder, "squid.conf")
        with open(users, "w") as f:
            f.write(f"{name}:{hashed}\n")
        with open(conf, "w") as f:
            f.write(f"""http_port {LOOPBACK}:{port}
pid_filename {self.folder}/pid
access_log stdio:{self.log}
cache_log {self.folder}/cache.log
cache_store_log none
cache deny all
memory_cache_shared off
coredump_dir {self.folder}
shutdown_lifetime 0 seconds
pinger_enable off
auth_param basic program {self.HELPER} {users}
auth_param basic children 1 startup=1
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
""")
        if os.geteuid() == 0:
            shutil.chown(self.folder, "proxy")  # whom it becomes
        self.url = f"http://{login}@{LOOPBACK}:{port}"
        self.process = subprocess.Popen(["squid", "-N", "-n", f"e2e{port}", "-f", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(port)

    def connects(self, port):
        """How often it was asked for the way to this port, by status."""
        with open(self.log) as f:
            words = [line.split() for line in f]
        return [w[3] for w in words if w[5:7] == ["CONNECT", f"{LOOPBACK}:{port}"]]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Authority:
    """The customer's own CA, and a certificate of it for 127.0.0.1."""

    def __init__(self, folder):
        def make(name, key, issuer, issuer_key, ca):
            now = datetime.datetime.utcnow()
            b = (x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
                 .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                 .not_valid_after(now + datetime.timedelta(days=30))
                 .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
            if not ca:
                b = b.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]),
                                    critical=False)
            return b.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the customer's proxy")])
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, LOOPBACK)])
        self.ca = os.path.join(folder, "proxy-ca.pem")
        self.cert = os.path.join(folder, "proxy-cert.pem")
        self.key = os.path.join(folder, "proxy-key.pem")
        for path, data in ((self.ca, make(ca_name, ca_key, ca_name, ca_key, True)),
                           (self.cert, make(name, key, ca_name, ca_key, False)),
                           (self.key, key.private_bytes(serialization.Encoding.PEM,
                                                        serialization.PrivateFormat.PKCS8,
                                                        serialization.NoEncryption()))):
            with open(path, "wb") as f:
                f.write(data)


def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class Opener:
    """CONNECT to anywhere is answered here; what comes then goes to `front`, a port that ends TLS itself."""

    def __init__(self, front, port=0):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    byte = self.request.recv(1)
                    if not byte:
                        return
                    head += byte
                if not head.startswith(b"CONNECT "):
                    return
                try:
                    with socket.create_connection((LOOPBACK, front)) as there:
                        self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        threading.Thread(target=pump, args=(there, self.request), daemon=True).start()
                        pump(self.request, there)
                except OSError:
                    pass  # the front is gone: a broken connection is what the site sees

        self.server = Server((LOOPBACK, port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://{LOOPBACK}:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Nginx:
    """Ends TLS under the customer's CA and passes on to the hub, over TLS again.  (Unverified: nginx compares no
    addresses, and to the site it is no more than a stranger anyway.)"""

    def __init__(self, folder, authority, hub_port):
        self.port = free_port()
        self.folder = os.path.join(folder, "opener")
        os.makedirs(self.folder)
        self.log = os.path.join(self.folder, "access.log")
        conf = os.path.join(self.folder, "nginx.conf")
        temp = "".join(f"{n}_temp_path {self.folder}/{n};\n"
                       for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(conf, "w") as f:
            f.write(f"""daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 64; }}
http {{
access_log {self.log}; {temp}
server {{
listen {LOOPBACK}:{self.port} ssl;
ssl_certificate {authority.cert}; ssl_certificate_key {authority.key};
client_max_body_size 64m;
location / {{
proxy_pass https://{LOOPBACK}:{hub_port}; proxy_set_header Host $http_host; proxy_http_version 1.1;
proxy_ssl_verify off;
proxy_read_timeout 90s;
}} }} }}
""")
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", conf, "-p", self.folder], stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def seen(self):
        with open(self.log) as f:
            return f.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Liar:
    """Ends TLS under the customer's CA and passes each request on, once; `lie(request, reply)` gives what goes back (or
    None for the truth).  Keeps what it saw: it can play it again."""

    def __init__(self, authority, hub_port, hub_ca):
        self.lie = None
        self.seen = []  # (request bytes, reply bytes)
        self.hub_port, self.hub_ca = hub_port, hub_ca
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(authority.cert, authority.key)
        liar = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    with ctx.wrap_socket(self.request, server_side=True) as s:
                        while (request := read_message(s)):
                            reply = liar.ask(request)
                            liar.seen.append((request, reply))
                            lie = liar.lie and liar.lie(request, reply)
                            s.sendall(lie if lie is not None else reply)
                            if lie is not None:
                                return
                except OSError:
                    pass

        self.server = Server((LOOPBACK, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, request):
        """The hub's reply to these very bytes."""
        ctx = ssl.create_default_context(cafile=self.hub_ca)
        with socket.create_connection((LOOPBACK, self.hub_port), 90) as raw, \
                ctx.wrap_socket(raw, server_hostname=LOOPBACK) as s:
            s.sendall(request)
            return read_message(s)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def read_message(s):
    """One HTTP message with a Content-Length, or none; b"" at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        piece = s.recv(65536)
        if not piece:
            break
        body += piece
    return head + b"\r\n\r\n" + body
