"""scripts/bootstrap on a machine that lacks something: what it says, and what it asks uv for all the same."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = '#!/bin/sh\n[ "$1" = --version ] || echo "$@" >>"$ASKED"\n[ "$1" = --version ]\n'  # it is there, and makes nothing
MADE = {"uv": UV, "df": "#!/bin/sh\necho; echo / 1 1 99999999 1 /\n"}  # and the disk has room


def machine(root: Path, lacks: str) -> dict[str, str]:
    """The programs of this one but for some; uv is one that writes down what it is asked for."""
    folder = root / "bin"
    folder.mkdir()
    for place in map(Path, ("/usr/bin", "/bin")):
        for program in place.iterdir():
            if program.name not in (*lacks.split(), *MADE) and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    for name, script in MADE.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return {"PATH": str(folder), "HOME": str(root), "LAKELOOM_CACHE": str(root / "cache"), "ASKED": str(root / "asked")}


@pytest.mark.parametrize(("lacks", "left_out"), [("g++ make", True), ("make", True), ("", False)])
def test_without_a_compiler_horovod_is_left_out_with_a_sentence(tmp_path, lacks, left_out):
    if not lacks and not all(map(shutil.which, ("g++", "make"))):
        pytest.skip("no compiler here")
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "bootstrap", tmp_path / "scripts")

    told = subprocess.run(
        [tmp_path / "scripts" / "bootstrap", "deep"], env=machine(tmp_path, lacks), capture_output=True, text=True
    )

    sentence = (
        "bootstrap: no g++ or no make, so Horovod is left out: nets train by launcher single or torch_distributor"
    )
    assert told.stderr.splitlines().count(sentence) == left_out
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 2 and all(line.startswith("sync ") for line in asked)  # is it right already, then make it
    assert all(("--no-install-package horovod" in line) == left_out for line in asked)
