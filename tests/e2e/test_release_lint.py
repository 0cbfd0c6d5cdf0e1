"""mainstay-release lint: what people and programs read of it."""

import json

from vendor import ROOT, run, tiny

BAD = """name: tiny
version: "1.0"
exec: [/bin/run]
payload: {tree: tree}
knobs:
  maxmemory: {type: size, defualt: 1mb}
operations:
  look: {argv: [/bin/run, look], risk: observe}
"""


def test_lint_of_a_folder(tmp_path):
    folder = tmp_path / "tiny"
    tiny(folder)
    # Poor, and no error.
    p = run("lint", folder)
    assert p.returncode == 0, p.stderr
    assert "service.yaml:6:3: warning: operations.look: the operation has no help" in p.stdout
    assert p.stdout.splitlines()[-1] == f"{folder}: no errors, {len(p.stdout.splitlines()) - 1} warnings"
    (folder / "service.yaml").write_text(BAD)
    p = run("lint", folder)
    assert p.returncode == 1
    assert 'service.yaml:6:27: knobs.maxmemory.defualt: unknown key "defualt"; did you mean "default"? [unknown-field]' \
        in p.stdout.splitlines()
    assert p.stderr.splitlines()[-1].endswith("[malformed]") and "errors" in p.stderr
    p = run("lint", folder, "--json")
    assert p.returncode == 1
    found = json.loads(p.stdout)
    assert found["api"] == "mainstay/v1" and found["kind"] == "Lint"
    assert {"level": "error", "where": "service.yaml:6:27", "operand": "knobs.maxmemory.defualt",
            "reason": "unknown-field", "text": 'unknown key "defualt"; did you mean "default"?'} in found["items"]
    assert not (folder / "index.json").exists() and not (tmp_path / "objects").exists()


def test_what_we_ship_has_no_faults():
    for folder in sorted((ROOT / "packaging/services").iterdir()):
        if (folder / "service.yaml").exists():
            p = run("lint", folder)
            assert p.returncode == 0, p.stdout
