"""The Debian packages, looked at: what is in them, what lintian says, whether other hands make the same bytes."""

import glob
import os
import re
import shutil
import subprocess

import pytest

from packages import B, DEBS, NAMES, ROOT, VERSION, contents, control, deb, run

PROGRAMS = {
    "mainstay": {"usr/bin/mainstay"} | {f"usr/lib/mainstay/{p}" for p in (
        "mainstayd", "mainstay-collectd", "mainstay-courier", "mainstay-judge", "mainstay-activate", "mainstay-operate",
        "mainstay-notify", "mainstay-supervise")},
    "mainstay-hub": {"usr/bin/mainstay-hubd", "usr/lib/mainstay/mainstay-hub-notify"},
    "mainstay-desk": {"usr/bin/mainstay-desk"},
    "mainstay-release": {"usr/bin/mainstay-release"},
}


@pytest.fixture(scope="module", params=NAMES)
def package(request, tmp_path_factory):
    """A package's name, and its files unpacked."""
    folder = str(tmp_path_factory.mktemp(request.param))
    run("dpkg-deb", "-x", deb(request.param), folder)
    return request.param, folder


def files(folder):
    for at, _, names in os.walk(folder):
        for name in (n for n in names if not os.path.islink(os.path.join(at, n))):
            yield os.path.relpath(os.path.join(at, name), folder)


def elf(path):
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def test_each_has_its_programs_and_nobody_elses(package):
    name, folder = package
    assert {f for f in files(folder) if elf(os.path.join(folder, f))} == PROGRAMS[name]


def test_programs_are_hardened_and_without_symbols(package):
    name, folder = package
    for program in PROGRAMS[name]:
        path = os.path.join(folder, program)
        text = run("readelf", "-hldW", path)
        assert "DYN (Position-Independent" in text and "GNU_RELRO" in text and "BIND_NOW" in text, program
        assert not re.search(r"GNU_STACK.* RWE ", text) and "RUNPATH" not in text and "RPATH" not in text, program
        assert ".symtab" not in run("readelf", "-SW", path), program


def test_systemd_finds_the_generator_of_the_collectors_unit():
    links = [path for name in NAMES for mode, _, path in contents(name) if mode.startswith("l") and "generators" in path]
    assert [link.split(" -> ")[0].rsplit("/", 2)[1:] for link in links] == [["system-generators", "mainstay-listen"]], links


def test_no_file_is_in_two_packages():
    seen = {}
    for name in NAMES:
        for mode, owner, path in contents(name):
            if mode.startswith("d"):
                continue
            assert path not in seen, f"{path}: {seen[path]} and {name}"
            seen[path] = name


def test_everything_is_roots_and_writable_by_nobody_else():
    for name in NAMES:
        for mode, owner, path in contents(name):
            assert owner == "root/root", path
            if mode.startswith("l"):  # a link has none of its own
                continue
            assert mode[5] == mode[8] == "-" and "s" not in mode and "t" not in mode, f"{mode} {path}"


def test_configuration_is_conffiles_and_the_ceiling_is_not():
    """What the vendor may do is never brought by a package."""
    assert control("mainstay", "conffiles").split() == ["/etc/mainstay/mainstay.yaml"]
    for name in NAMES[1:]:
        assert control(name, "conffiles") == ""
    assert not [p for n in NAMES for _, _, p in contents(n) if p.startswith("./etc/") and "policy" in p]


def test_dependencies_are_what_the_programs_need(package):
    name, folder = package
    depends = run("dpkg-deb", "-f", deb(name), "Depends")
    needed = set()
    for program in PROGRAMS[name]:
        needed |= set(re.findall(r"\(NEEDED\).*\[(\S+)\]", run("readelf", "-dW", os.path.join(folder, program))))
    for library in needed:
        if library.startswith("ld-linux"):
            continue
        owners = {line.split(":")[0] for line in run("dpkg", "-S", f"*/{library}").splitlines()}
        assert owners & set(re.findall(r"[a-z0-9.+-]+", depends)), f"{library} of {owners}: {depends}"
    assert ("bubblewrap" in depends) == (name == "mainstay")
    assert ("nginx" in depends) == (name == "mainstay-hub")
    # Only who speaks with the network has what speaks with it.
    assert ("libcurl" in depends) == (name != "mainstay-release")


def test_units_name_programs_that_are_there(package):
    name, folder = package
    for unit in glob.glob(os.path.join(folder, "lib/systemd/system/*.service")):
        for program in re.findall(r"^Exec\w+=[-@:+!]*(/usr/\S+)", open(unit).read(), re.MULTILINE):
            if "/mainstay" in program:
                assert os.access(folder + program, os.X_OK), f"{unit}: {program}"


def test_lintian_says_nothing():
    if not shutil.which("lintian"):
        pytest.skip("no lintian (packaging/dependencies --packages)")
    done = subprocess.run(["lintian", "--tag-display-limit", "0", "--fail-on", "error,warning", *DEBS],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert not re.search(r"^[EW]: ", done.stdout, re.MULTILINE), done.stdout


def test_other_hands_make_the_same_bytes(tmp_path):
    """The same commit elsewhere, under another umask, locale and time zone, without a clone around it."""
    tree = tmp_path / "elsewhere"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.split(b"\0")
    for name in filter(None, (n.decode() for n in names)):
        if os.path.exists(os.path.join(ROOT, name)):
            os.makedirs(os.path.dirname(tree / name), exist_ok=True)
            shutil.copy(os.path.join(ROOT, name), tree / name)
    epoch = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    env = {k: v for k, v in os.environ.items() if k.startswith("CCACHE") or k in ("PATH", "HOME")}
    env |= {"SOURCE_DATE_EPOCH": epoch, "TZ": "Pacific/Auckland", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["sh", "-c", f"umask 077; make -s deb VERSION={VERSION}"], cwd=tree, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in NAMES:
        with open(deb(name), "rb") as ours, open(tree / "build/deb" / os.path.basename(deb(name)), "rb") as theirs:
            assert ours.read() == theirs.read(), f"{name} differs from what {tree} made"
