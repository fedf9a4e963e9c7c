"""The check of the structure finds what it is for, and the packages pass it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.processes import ROOT

SCRIPT = ROOT / "scripts" / "check_structure.py"


def load() -> ModuleType:
    spec = spec_from_file_location("check_structure", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


structure = load()


def beyond(root: Path, files: dict[str, str]) -> list[str]:
    """What is found in a package `desk` of these files, which has no allowance."""
    for name, text in {"desk/__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found, _ = structure.check(root, ["desk", "absent"], {})
    return list(found)


@pytest.mark.parametrize(
    "back",
    [
        "from desk.a import A",
        "import desk.a",
        "from desk import a",
        "from .a import A",
        "from . import a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from desk.a import A",
        "def late():\n    from desk.a import A",
    ],
)
def test_circles_are_found_wherever_the_import_stands(tmp_path: Path, back: str) -> None:
    [message] = beyond(tmp_path, {"desk/a.py": "from desk.b import B", "desk/b.py": back})
    assert message.startswith(
        "desk: 2 modules are in import circles, 0 are allowed: desk.a, desk.b"
    )


def test_a_face_that_imports_its_parts_is_no_circle(tmp_path: Path) -> None:
    files = {
        "desk/__init__.py": "from desk.wing import A",
        "desk/wing/__init__.py": "from desk.wing.a import A",
        "desk/wing/a.py": "from desk.wing.b import B",
        "desk/wing/b.py": "from desk.ground import G",
        "desk/ground.py": "",
    }
    assert beyond(tmp_path, files) == []


def test_a_face_counts_for_those_outside_of_it(tmp_path: Path) -> None:
    files = {
        "desk/wing/__init__.py": "from desk.wing.a import A",
        "desk/wing/a.py": "from desk.ground import G",
        "desk/wing/b.py": "",
        "desk/ground.py": "from desk.wing.b import B",
    }
    [message] = beyond(tmp_path, files)
    assert "3 modules are in import circles" in message
    assert "desk.ground, desk.wing, desk.wing.a" in message


def test_packages_in_a_circle_are_found(tmp_path: Path) -> None:
    for package, other in (("one", "two"), ("two", "one")):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / "a.py").write_text(f"import {other}.a")
    found, _ = structure.check(tmp_path, ["one", "two"], {})
    assert found == ["packages import one another in a circle: one.a, two.a"]


def test_inheritance_is_followed_through_modules(tmp_path: Path) -> None:
    files = {
        "desk/__init__.py": "from desk.base import Base",
        "desk/base.py": "class Base: ...",
        "desk/middle.py": "import desk\nclass Middle(desk.Base): ...",
        "desk/top.py": "from desk import middle as m\nclass Top(m.Middle, Generic[T]): ...",
    }
    [message] = beyond(tmp_path, files)
    assert message.startswith(
        "desk.top.Top inherits through 2 classes of ours, 1 are allowed: "
        "desk.base.Base, desk.middle.Middle"
    )


def test_errors_may_have_families(tmp_path: Path) -> None:
    text = (
        "class Root(Exception): ...\nclass Part(Root): ...\nclass Leaf(Part, KeyError): ...\n"
        "class First: ...\nclass Second: ...\nclass Both(First, Second): ..."
    )
    [message] = beyond(tmp_path, {"desk/errors.py": text})
    assert message.startswith("desk.errors.Both inherits through 2 classes of ours")


def test_large_folders_are_found(tmp_path: Path) -> None:
    limit = structure.LIMITS.folder
    files = {f"desk/part/m{number}.py": "" for number in range(limit)}
    assert beyond(tmp_path, {**files, "desk/part/__init__.py": ""}) == []
    [message] = beyond(tmp_path, {"desk/part/one_more.sql": ""})
    assert message.startswith(f"desk/part/ has {limit + 1} files, {limit} are allowed")


def test_allowances_say_when_they_can_be_lowered(tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "a.py").write_text("class A: ...\nclass B(A): ...")
    allowed = {"desk": structure.Limits(in_circles=3, bases=4, folder=30)}
    assert structure.check(tmp_path, ["desk"], allowed) == (
        [],
        [
            "desk: the allowance in_circles=3 can be lowered to 0",
            "desk: the allowance bases=4 can be lowered to 1",
            "desk: the allowance folder=30 can be lowered to 20",
        ],
    )


def test_the_packages_pass() -> None:
    run = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
