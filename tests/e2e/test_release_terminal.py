"""mainstay-release asks for passphrases on a terminal: unseen, twice for a new one, and ^C leaves all as it was."""

import fcntl
import os
import pty
import select
import subprocess
import termios
import time

import pytest

from vendor import BUILD, REFUSAL, contents, release, run

WORDS = "battery staple horse"


class Terminal:
    """mainstay-release with a terminal of its own, whose other end is ours."""

    def __init__(self, *args):
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTAY_")} | {"MAINSTAY_DEBUG": "1"}
        self.process = subprocess.Popen([BUILD / "bin/mainstay-release", *map(str, args)], env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(self.theirs, termios.TIOCSCTTY, 0))
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdout, self.process.stderr):
            file.close()
        os.close(self.ours)
        os.close(self.theirs)

    def until(self, text):
        """Wait until it shows this, after what was waited for before."""
        at, end = len(self.shown), time.monotonic() + 20
        while text not in self.shown[at:]:
            assert select.select([self.ours], [], [], end - time.monotonic())[0], f"{text!r} did not come: {self.shown!r}"
            self.shown += os.read(self.ours, 1000).decode()

    def answer(self, question, text):
        """Type it once asked; no letter of it is to be seen."""
        self.until(question)
        assert not termios.tcgetattr(self.theirs)[3] & termios.ECHO
        os.write(self.ours, text.encode())

    def end(self):
        """(code, what it said); the terminal is as it was."""
        out, err = self.process.communicate(timeout=20)
        assert termios.tcgetattr(self.theirs) == self.before
        while select.select([self.ours], [], [], 0)[0]:
            self.shown += os.read(self.ours, 1000).decode()
        assert WORDS not in self.shown + out + err
        return self.process.returncode, err


def new_key(folder):
    return Terminal("keys", "new", "--dir", folder / "k", "--name", "root-1", "--cost", "10")


def opens(folder, words):
    """Does this passphrase open the key?"""
    file = folder.parent / "words"
    file.write_text(words + "\n")
    file.chmod(0o600)
    return run("keys", "passphrase", folder / "k/root-1.key", "--passphrase-file", file, "--new-passphrase-file", file,
               "--cost", "10").returncode == 0


@pytest.fixture(name="folder")
def a_folder(tmp_path):
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def test_a_new_passphrase_is_asked_for_twice_and_not_shown(folder):
    with new_key(folder) as t:
        t.answer("passphrase of root-1", WORDS + "\n")
        t.answer("the same again of root-1", WORDS + "\n")
        assert t.end()[0] == 0
    assert opens(folder, WORDS) and not opens(folder, WORDS + "s")


@pytest.mark.parametrize("answers, reason, said", [
    ([WORDS + "\n", WORDS + "s\n"], "malformed", "the two passphrases differ"),
    (["short\n"], "malformed", "at least 8 bytes"),
    (["\n"], "malformed", "no passphrase"),
    (["x" * 1025 + "\n"], "malformed", "longer than 1024 bytes"),
    ([WORDS + "\x03"], "interrupted", "no passphrase was given"),
    ([WORDS + "\n", "\x03"], "interrupted", "no passphrase was given"),
])
def test_an_answer_that_is_none_makes_no_key(folder, answers, reason, said):
    with new_key(folder) as t:
        for question, text in zip(("passphrase of root-1", "the same again of root-1"), answers):
            t.answer(question, text)
        code, err = t.end()
    assert code == 1 and REFUSAL.findall(err) == [reason] and said in err, err
    assert not contents(folder)


def test_a_wrong_passphrase_is_asked_for_again(folder):
    with new_key(folder) as t:
        t.answer("passphrase of root-1", WORDS + "\n")
        t.answer("the same again of root-1", WORDS + "\n")
        assert t.end()[0] == 0
    before = contents(folder)
    with Terminal("keys", "passphrase", folder / "k/root-1.key", "--no-passphrase") as t:
        t.answer("passphrase of", "another one\n")
        t.answer("passphrase of", "\x03")
        assert t.end()[0] == 1
    assert contents(folder) == before
    with Terminal("keys", "passphrase", folder / "k/root-1.key", "--no-passphrase") as t:
        t.answer("passphrase of", "another one\n")
        t.answer("passphrase of", WORDS + "\n")
        assert t.end()[0] == 0
    assert "NO PASSPHRASE" in release("keys", "list", "--keys", folder / "k")
