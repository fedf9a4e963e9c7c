"""Which Python set-up chooses, on machines that have one, another one, or none that will do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

# Says that it is another version; notes when it is asked for a virtual environment.
PYTHON = """#!/bin/sh
case "$1" in
--version) echo "Python {version}.0" ;;
-c) exec {real} -c "import sys; sys.version_info = ({numbers}, 0); exec(sys.argv[1])" "$2" ;;
-m) echo "{version}" >chosen; exit 7 ;;
esac
"""
UV = """#!/bin/sh
case "$*" in
"python install --quiet 3.13") echo asked >fetched ;;
"python find 3.13") echo {folder}/hidden/python3.13 ;;
*) exit 9 ;;
esac
"""


class Machine:
    """A folder with the set-up and the programs that it may find."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        (folder / "hidden").mkdir()
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "setup.sh", folder / "scripts")
        for file in ROOT.glob("requirements-*.txt"):
            shutil.copy(file, folder)
        for name in ("sh", "dirname", "cmp", "rm", "cp", "id", "cat"):
            found = shutil.which(name)
            assert found is not None
            (self.programs / name).symlink_to(found)

    def program(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)
        (self.folder / path).chmod(0o755)

    def python(self, name: str, version: str, folder: str = "bin") -> None:
        numbers = version.replace(".", ", ")
        text = PYTHON.format(version=version, numbers=numbers, real=sys.executable)
        self.program(f"{folder}/{name}", text)

    def set_up(self, *profiles: str, **variables: str) -> tuple[str, list[str]]:
        """The version that was chosen, and what was said."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHON"}
        done = subprocess.run(
            ["sh", "scripts/setup.sh", *profiles],
            cwd=self.folder,
            env={**env, "PATH": str(self.programs), **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0
        chosen = self.folder / "chosen"
        return chosen.read_text().strip() if chosen.exists() else "", done.stderr.splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_every_supported_python_is_found_by_its_name(machine: Machine, version: str) -> None:
    machine.python("python3", "3.9")
    machine.python(f"python{version}", version)
    chosen, said = machine.set_up("server", "client", "store", "dev")
    assert chosen == version
    assert said == [f"setup: making .venv with Python {version}.0"]


def test_the_systems_own_python_comes_first(machine: Machine) -> None:
    machine.python("python3", "3.12")
    machine.python("python3.13", "3.13")
    assert machine.set_up("store")[0] == "3.12"


def test_the_store_and_the_clients_need_no_older_python(machine: Machine) -> None:
    machine.python("python3", "3.14")
    assert machine.set_up("store", "client")[0] == "3.14"


def test_what_needs_an_older_python_is_said_in_one_line(machine: Machine) -> None:
    machine.python("python3", "3.14")
    chosen, said = machine.set_up("server", "store")
    assert chosen == ""
    [line] = said
    assert "no Python 3.10 to 3.13 (the server reaches Java by jpy, which has no wheel" in line
    assert "install python3.13, or uv, which fetches one" in line


def test_uv_fetches_one(machine: Machine) -> None:
    machine.python("python3", "3.14")
    machine.python("python3.13", "3.13", folder="hidden")
    machine.program("bin/uv", UV.format(folder=machine.folder))
    chosen, said = machine.set_up("server")
    assert chosen == "3.13"
    assert said[0] == "setup: fetching Python 3.13 with uv"
    assert (machine.folder / "fetched").exists()


def test_a_python_that_is_named_and_will_not_do_is_refused(machine: Machine) -> None:
    machine.python("python3", "3.13")
    machine.python("python3.14", "3.14")
    for named, seen in (("python3.14", "is Python 3.14.0"), ("python3.99", "is no program")):
        chosen, said = machine.set_up("server", PYTHON=named)
        assert chosen == ""
        assert f"PYTHON={named} {seen}; needed is Python 3.10 to 3.13" in said[-1]
    assert machine.set_up("store", PYTHON="python3.14")[0] == "3.14"


def test_an_environment_that_is_too_new_for_the_server_is_made_anew(machine: Machine) -> None:
    (machine.folder / ".venv" / "bin").mkdir(parents=True)
    machine.python("python", "3.14", folder=".venv/bin")
    _, said = machine.set_up("server")
    assert "setup: .venv has Python 3.14.0; needed is Python 3.10 to 3.13" in said[0]
    assert (machine.folder / ".venv" / "bin" / "python").exists()
    machine.python("python3.13", "3.13")
    assert machine.set_up("server")[0] == "3.13"
