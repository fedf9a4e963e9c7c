"""Finding the JDK, and saying what is wrong with what was found instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.jdk import JdkNotFound, find_jdk
from tests.server.jdk_homes import make_home


@pytest.mark.parametrize("version", ["17", "17.0.15", "21.0.1", "25-ea"])
def test_a_jdk_of_17_or_later_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    home = make_home(tmp_path / "jdk", version)
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert find_jdk() == home


def test_without_java_home_the_machine_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert (find_jdk() / "bin" / "javac").exists()


@pytest.mark.parametrize(
    ("version", "compiler", "problem"),
    [
        ("11.0.2", True, "is version 11"),
        ("1.8.0_292", True, "is version 8"),
        ("17", False, "is a JRE without a compiler"),
        (None, True, "does not tell its version"),
    ],
)
def test_another_java_is_named_with_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
    compiler: bool,
    problem: str,
) -> None:
    home = make_home(tmp_path / "java", version, compiler=compiler)
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(JdkNotFound) as caught:
        find_jdk()
    message = str(caught.value)
    assert str(home) in message
    assert problem in message
    assert "version 17 or later" in message
    assert "\n" not in message


def test_no_java_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("server.jdk._candidates", lambda: iter(()))
    with pytest.raises(JdkNotFound, match="openjdk-17-jdk-headless"):
        find_jdk()
