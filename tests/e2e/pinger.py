"""A client that asks a service without a pause, while something is done to it."""

import socket
import threading
import time


class Pinger(threading.Thread):
    """Asks Redis over its socket every 20 ms, each time anew; what failed is kept."""

    def __init__(self, path, timeout_s):
        super().__init__(daemon=True)
        self.path, self.timeout_s, self.ok, self.failed, self.on = path, timeout_s, 0, [], True

    def run(self):
        while self.on:
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(self.timeout_s)
                    s.connect(self.path)
                    s.sendall(b"PING\r\n")
                    assert s.recv(64) == b"+PONG\r\n"
                self.ok += 1
            except (OSError, AssertionError) as e:
                self.failed.append(repr(e))
            time.sleep(0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.on = False
        self.join()
