"""A passphrase for the vendor's keys of a test run, and how they are opened without mainstay-release."""

import atexit
import contextlib
import os
import subprocess
import tempfile

WORDS = "a passphrase of tests"
_file = None


def passphrase_file():
    """A file of mode 0600 that goes with this process; of a pool's, which end without a word, with what they share."""
    global _file
    if _file is None:
        fd, _file = tempfile.mkstemp(prefix="mainstay-passphrase-", dir=os.environ.get("MAINSTAY_E2E_SHARED"))
        os.write(fd, WORDS.encode() + b"\nand no more of this file\n")
        os.close(fd)
        atexit.register(_forget)
    return _file


def _forget():
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_file)


def with_passphrase(args):
    """Arguments of mainstay-release with the passphrase; keys are made to be opened quickly."""
    args = [str(a) for a in args]
    if any(a.startswith("--passphrase") for a in args):
        return args
    cheap = ["--cost", "10"] if args[:2] == ["keys", "new"] and not {"--cost", "--no-passphrase"} & set(args) else []
    return [*args, *cheap, "--passphrase-file", passphrase_file()]


def seed_of(file):
    """The private half of a key file, as OpenSSL reads it."""
    der = subprocess.run(["openssl", "pkey", "-in", str(file), "-passin", "file:" + passphrase_file(), "-outform", "DER"],
                         capture_output=True, check=True).stdout
    return der[-32:]
