"""The manual and completion, as they are installed: nothing of the tables is missing, and nothing renders wrong."""

import os
import re
import subprocess

import pytest

from packages import B, NAMES, ROOT, deb, run

PEOPLE = ["mainstay", "mainstay-hubd", "mainstay-desk", "mainstay-release"]
# Which tables of keys belong to which page.
KEYS = {
    "mainstay.yaml.5": ["telemetry/collect/config_settings.c", "telemetry/collect/config_journal.c",
                        "telemetry/ship/ship_settings.c", "telemetry/ship/ship_settings.h", "appliance/service/target.c"],
    "mainstay-cluster.yaml.5": ["appliance/service/cluster.c"],
    "mainstay-policy.yaml.5": ["appliance/policy/policy_compile.c"],
    "mainstay-service.yaml.5": [f"appliance/service/definition{f}.c" for f in (
        "", "_alert", "_config", "_data", "_health", "_operation", "_param", "_payload", "_run", "_watch")],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All packages unpacked over each other."""
    folder = str(tmp_path_factory.mktemp("root"))
    for name in NAMES:
        run("dpkg-deb", "-x", deb(name), folder)
    return folder


@pytest.fixture(scope="module")
def manual(root):
    """Each page as people read it."""
    pages = {}
    folder = os.path.join(root, "usr/share/man")
    env = dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="200", MANROFFOPT="-rHY=0", GROFF_NO_SGR="1", MANPATH=folder)
    for at, _, names in os.walk(folder):
        for name in names:
            done = subprocess.run(["man", "--warnings", "--nh", "--nj", "-l", os.path.join(at, name)], env=env, text=True, cwd=folder,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            assert done.returncode == 0 and done.stderr == "", f"{name}: {done.stderr}"
            pages[name.removesuffix(".gz")] = re.sub(".\b", "", done.stdout)
    return pages


def table(program):
    """What `PROGRAM help COMMAND` says of each command."""
    path = os.path.join(B, "bin", program)
    text = run(path, "help").split("global options:")[0]
    for name in re.findall(r"^  (\S+(?: \S+)?)  +\S", text, re.MULTILINE):
        yield name, run(path, "help", *name.split())


def test_every_command_and_option_stands_in_the_manual(manual):
    seen = 0
    for program in PEOPLE:
        for name, said in table(program):
            page = manual.get(f"{program}.8") or (manual[f"mainstay-{name.split()[0]}.1"] if program == "mainstay"
                                                  else manual[f"{program}.1"])
            heading = "\n   " + said.splitlines()[0].removeprefix("usage: ") + "\n"
            assert heading in page, f"{program} {name}"
            section = page.split(heading, 1)[1].split(f"\n   {program} ", 1)[0]
            for option in re.findall(r"^  (--?[a-z-]+)", said.split("global options:")[0], re.MULTILINE):
                seen += 1
                assert re.search(rf"^ +{option}\b", section, re.MULTILINE), f"{program} {name} {option}"
            example = said.split("\nexamples:\n", 1)
            if len(example) == 2:
                assert example[1].splitlines()[0] in section, f"{program} {name}: its example"
        for option in ("--json", "--state", "--color"):
            assert option in (manual.get(f"{program}.1") or manual[f"{program}.8"]), f"{program} {option}"
    assert seen > 100


def test_every_key_of_a_file_stands_in_its_page(manual):
    for page, sources in KEYS.items():
        words = set()
        for source in sources:
            text = open(os.path.join(ROOT, source)).read()
            for found in re.findall(r"(?:known(?:_yaml)?|keys)\[\] = \{(.*?)\}", text, re.DOTALL):
                words |= set(re.findall(r'"([a-z_]+)"', found))
            for found in re.findall(r"#define (?:MEMBERS|SHIP_SETTINGS_KEYS)((?:.*\\\n)*.*)", text):
                words |= set(re.findall(r'"([a-z_]+)"', found))
        assert len(words) >= 6, page
        lacking = sorted(w for w in words if not re.search(rf"\b{w}\b", manual[page]))
        assert not lacking, f"{page}: {lacking}"


def test_every_program_has_a_page_and_no_page_names_one_that_is_not(root, manual):
    for folder in ("usr/bin", "usr/lib/mainstay"):
        for program in os.listdir(os.path.join(root, folder)):
            named = [p for p in manual.values() if program in p]
            assert named, program
            if folder == "usr/bin":
                assert f"{program}.1" in manual or f"{program}.8" in manual, program
    for page, text in manual.items():
        for name, section in re.findall(r"\b(mainstay[a-z.-]*)\((\d)\)", text):
            assert f"{name}.{section}" in manual, f"{page} names {name}({section})"


def complete(root, line):
    """What bash offers behind the line, with the installed files alone."""
    code = ('. "$1/usr/share/bash-completion/completions/${2%% *}"; COMP_LINE=$2 COMP_POINT=${#2}; f=_${2%% *}; '
            '${f//-/_} 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"')
    return subprocess.run(["bash", "-c", code, "bash", root, line], text=True, check=True, stdout=subprocess.PIPE,
                          env={"PATH": os.path.join(root, "usr/bin") + ":/usr/bin:/bin"}).stdout.split()


def test_bash_completes(root):
    assert complete(root, "mainstay servi") == ["service"]
    assert "install" in complete(root, "mainstay service ")
    assert complete(root, "mainstay enrol --tok") == ["--token-file"]
    assert complete(root, "mainstay-hubd tok") == ["token"]
    assert complete(root, "mainstay-hubd init --li") == ["--listen"]
    assert complete(root, "mainstay-desk aler") == ["alerts"]
    assert complete(root, "mainstay-release keys n") == ["new"]
    for program in PEOPLE:
        assert complete(root, f"{program} comp") == ["completion"]


# A shell on a terminal, as a person has it; what it shows after a tab.
ZSH = r"""zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "fpath=($1/usr/share/zsh/vendor-completions \$fpath); PATH=$1/usr/bin:\$PATH"
zpty -w z "autoload -Uz compinit; compinit -u -d $2/dump; echo rea''dy"
zpty -r -m z got '*ready*'
zpty -w -n z $'mainstay enr\t'
for i in {1..200}; do
	zpty -r -t z got && shown+=$got
	[[ $shown == *"enrol "* ]] && break
	sleep 0.05
done
print -r -- $shown
"""


def test_zsh_completes_at_the_first_use(root, tmp_path):
    if subprocess.run(["sh", "-c", "command -v zsh"], stdout=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("no zsh (packaging/dependencies --packages)")
    (tmp_path / "tab.zsh").write_text(ZSH)
    done = subprocess.run(["zsh", "-f", tmp_path / "tab.zsh", root, tmp_path], text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": str(tmp_path)}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    assert "mainstay enrol " in done.stdout, done.stdout
