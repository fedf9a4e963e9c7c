"""The list of commands: complete, the same as the modules say, and there at once."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module

import pytest

from tests.processes import ROOT
from trading.cli import COMMANDS, main

LIST = """
import sys
from trading.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"numpy", "pyarrow", "store"}))
"""


def whole_list() -> str:
    """The list as it is with every module imported."""
    parser = argparse.ArgumentParser(
        prog="python -m trading", description="Market data and trading."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in dict.fromkeys(each.module for each in COMMANDS):
        import_module(f"trading.cli.{module}").add(commands)
    return parser.format_help()


def test_the_list_is_what_the_modules_add(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == whole_list()


def test_the_list_imports_no_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    *lines, imported = done.stdout.splitlines()
    assert imported == ""
    assert any("backtest" in line for line in lines)


@pytest.mark.parametrize("name", [each.name for each in COMMANDS])
def test_every_command_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m trading {name} ")


def test_an_unknown_command_is_told_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["backtests"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "backtests" in error
    assert all(each.name in error for each in COMMANDS)
