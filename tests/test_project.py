"""The project as it is handed out: versions, packages, and its promises about imports."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.processes import ROOT

EXTRAS = ("server", "client", "store", "trading", "dev")


def requirements(extra: str) -> set[str]:
    """Those of this Python, without the condition that says so."""
    lines = (ROOT / f"requirements-{extra}.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    here = [each for each in found if each.marker is None or each.marker.evaluate()]
    for each in here:
        each.marker = None
    return {str(each) for each in here}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    source = target / "source"
    # From what git knows: what lies about in a developer's folder must not get in.
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(source)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    [built] = target.glob("deephaven_trading_platform-*.whl")
    return zipfile.ZipFile(built)


def test_the_extras_are_the_requirements_files(wheel: zipfile.ZipFile) -> None:
    [name] = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Name"] == "deephaven-trading-platform"
    assert set(metadata.get_all("Provides-Extra") or ()) == set(EXTRAS)
    for extra in EXTRAS:
        found = set()
        for line in metadata.get_all("Requires-Dist") or ():
            requirement = Requirement(line)
            if requirement.marker and requirement.marker.evaluate({"extra": extra}):
                requirement.marker = None
                found.add(str(requirement))
        assert found == requirements(extra)


def test_the_wheel_holds_the_packages_whole(wheel: zipfile.ZipFile) -> None:
    packed = {n for n in wheel.namelist() if ".dist-info/" not in n}
    kept = subprocess.run(
        [
            "git",
            "ls-files",
            "-co",
            "--exclude-standard",
            *sorted({n.split("/")[0] for n in packed}),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    # The shell script starts the server of a checkout.
    assert packed == {n for n in kept if (ROOT / n).is_file() and not n.endswith(".sh")}
    assert "server/application/trading.app" in packed
    # Compiled where the server runs; without them it does not start.
    assert "server/access/java/guard/Guard.java" in packed
    assert not any(n.startswith("tests") for n in packed)


def test_every_requirement_has_a_reason_and_a_range() -> None:
    for extra in EXTRAS:
        above = ""
        for line in (ROOT / f"requirements-{extra}.txt").read_text().splitlines():
            if line and not line.startswith("#"):
                assert re.search(r">=", line), f"{extra}: {line} has no lower bound"
                assert above, f"{extra}: {line} has no reason above it"
            above = line if line.startswith("#") or above else ""
            if not line:
                above = ""


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("client.base_client", {"jpy", "deephaven", "deephaven_server", "server"}),
        (
            "bridge",
            {"jpy", "deephaven", "deephaven_server", "server", "client", "pgserver", "reaktiv"},
        ),
    ],
)
def test_a_package_loads_nothing_that_it_must_not(package: str, forbidden: set[str]) -> None:
    code = f"import sys, {package}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert forbidden.isdisjoint(loaded)


def test_no_file_of_the_project_names_the_machine_it_was_made_on() -> None:
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    home = str(Path.home())
    for name in names:
        path = ROOT / name
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".txt", ".sh", ".sql"}:
            text = path.read_text(encoding="utf-8")
            assert str(ROOT) not in text, name
            assert len(home) < 3 or f"{home}/" not in text, name
