"""Settings: their sources, types, bounds, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trading.cli import main
from trading.errors import SettingsError
from trading.kernel.settings import Settings as KernelSettings
from trading.settings import SETTINGS, load_settings
from trading.times import DAY, MINUTE, SECOND


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "desk.toml"
    path.write_text(
        'engine.outputs = "matches-only"\n'
        "[tradepicker]\nmaxOpenPositions = 5\nsellRequiresLong = false\n"
        "[wm.engine]\nlatenessSec = 2\n"
        '[prices]\ntimeframe = "5m"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a settings file, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRADING_SETTINGS", raising=False)


def test_the_documented_defaults() -> None:
    settings = load_settings(environment={})
    assert dict(settings) == {
        "engine.outputs": "full",
        "monitoring.export": "metrics",
        "tradepicker.maxOpenPositions": 3,
        "tradepicker.sellRequiresLong": True,
        "tradepicker.reserveOnOpen": True,
        "tradepicker.reservationTtlMs": 300_000,
        "dedupe.ttlDays": 7,
        "wm.engine.latenessSec": 5.0,
        "wm.monitor.latenessSec": 2.0,
        "prices.timeframe": "1m",
        "fluss.freshness.price": "5-15s",
        "metrics.timeZone": "Europe/Oslo",
        "metrics.periods": 252.0,
        "metrics.riskFree": 0.0,
    }
    assert {settings.source(name) for name in settings} == {"default"}


def test_later_sources_win(file: Path) -> None:
    environment = {
        "TRADING__TRADEPICKER__MAX_OPEN_POSITIONS": "7",
        "TRADING__WM__ENGINE__LATENESS_SEC": "0.5",
        "TRADING_OTHER": "of another program",
    }
    settings = load_settings(file, environment=environment, arguments=["wm.engine.latenessSec=1"])
    assert settings["engine.outputs"] == settings.outputs == "matches-only"
    assert settings["tradepicker.maxOpenPositions"] == 7
    assert settings["wm.engine.latenessSec"] == 1.0
    assert settings.source("engine.outputs") == f"file {file}"
    assert settings.source("tradepicker.maxOpenPositions") == (
        "environment TRADING__TRADEPICKER__MAX_OPEN_POSITIONS"
    )
    assert settings.source("wm.engine.latenessSec") == "--set"
    assert settings.source("dedupe.ttlDays") == "default"


def test_which_file_is_read(file: Path, tmp_path: Path) -> None:
    by_variable = load_settings(environment={"TRADING_SETTINGS": str(file)})
    assert by_variable["tradepicker.maxOpenPositions"] == 5
    (tmp_path / "trading.toml").write_text("[dedupe]\nttlDays = 30\n")
    assert load_settings(environment={})["dedupe.ttlDays"] == 30
    with pytest.raises(SettingsError, match=r"no settings file .*gone.toml; .* --toml"):
        load_settings(tmp_path / "gone.toml")


def test_typed_values_for_their_owners(file: Path) -> None:
    settings = load_settings(file, environment={}, arguments={"fluss.freshness.price": "2–4s"})
    assert settings.picker_options() == {
        "max_open_positions": 5,
        "sell_requires_long": False,
        "reserve_on_open": True,
        "reservation_ttl_ms": 300_000,
    }
    assert settings.metrics_options() == {
        "periods": 252.0,
        "risk_free": 0.0,
        "time_zone": "Europe/Oslo",
    }
    assert settings.kernel_options() == {
        "bar_interval": 5 * MINUTE,
        "bar_lateness": 2 * SECOND,
        "command_memory": 7 * DAY,
    }
    assert KernelSettings(**settings.kernel_options()).bar_interval == 5 * MINUTE
    assert settings.price_freshness_s == (2.0, 4.0)
    assert settings.monitor_lateness_s == 2.0
    for given, meant in (
        ("metrics", {"metrics"}),
        ("tables", {"tables"}),
        ("fluss", {"tables"}),
        ("both", {"metrics", "tables"}),
    ):
        asked = load_settings(environment={}, arguments={"monitoring.export": given})
        assert asked.monitoring_export == meant


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tradepicker]\nmaxOpenPosition = 3", "did you mean tradepicker.maxOpenPositions"),
        ("[tradepicker]\nmaxopenpositions = 3", "did you mean tradepicker.maxOpenPositions"),
        ("[zzz]\nqqq = 3", "there is no setting 'zzz.qqq'; .* lists all"),
        ("[tradepicker]\nmaxOpenPositions = '3'", "a whole number from 1 to 100000, seen '3'"),
        ("[tradepicker]\nmaxOpenPositions = true", "a whole number from 1 to 100000, seen True"),
        ("[tradepicker]\nmaxOpenPositions = 0", "a whole number from 1 to 100000, seen 0"),
        ("[tradepicker]\nmaxOpenPositions = 2.5", "a whole number"),
        ("[tradepicker]\nsellRequiresLong = 1", "true or false, seen 1"),
        ("[wm.engine]\nlatenessSec = nan", "a number from 0 to 3600, seen nan"),
        ("[engine]\noutputs = 'some'", "matches-only, full, seen 'some'"),
        ("[engine]\noutputs = ['full']", "matches-only, full, seen"),
        ("[prices]\ntimeframe = '7 parsecs'", "a length of time that divides a day"),
        ("[prices]\ntimeframe = '1000 ticks'", "a length of time that divides a day"),
        ("[metrics]\ntimeZone = 'Europe/Osl'", "a time zone such as"),
        ("[fluss.freshness]\nprice = '15-5s'", "does not go down"),
        ("[fluss.freshness]\nprice = 'soon'", "seconds such as"),
        ("engine = 3", "there is no setting 'engine'"),
        ("[engine", "is no TOML file"),
    ],
)
def test_a_wrong_file_is_refused_and_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as error:
        load_settings(path, environment={})
    assert "wrong.toml" in str(error.value)


def test_a_wrong_variable_or_argument_is_refused_and_named() -> None:
    variable = "TRADING__TRADEPICKER__MAX_OPEN_POSITION"
    with pytest.raises(
        SettingsError, match="did you mean TRADING__TRADEPICKER__MAX_OPEN_POSITIONS"
    ):
        load_settings(environment={variable: "3"})
    with pytest.raises(SettingsError, match=r"seen 'many' \(environment TRADING__TRADEPICKER"):
        load_settings(environment={variable + "S": "many"})
    with pytest.raises(SettingsError, match=r"--set: .* did you mean dedupe\.ttlDays"):
        load_settings(environment={}, arguments=["dedupe.ttldays=3"])
    with pytest.raises(SettingsError, match="NAME=VALUE is expected"):
        load_settings(environment={}, arguments=["dedupe.ttlDays"])
    with pytest.raises(SettingsError, match=r"seen 0 \(--set\)"):
        load_settings(environment={}, arguments=["dedupe.ttlDays=0"])
    with pytest.raises(SettingsError, match=r"did you mean dedupe\.ttlDays"):
        load_settings(environment={})["dedupe.ttlDay"]


def test_a_written_file_gives_the_same_settings(tmp_path: Path) -> None:
    given = load_settings(
        environment={},
        arguments={"tradepicker.maxOpenPositions": "9", "tradepicker.reserveOnOpen": "FALSE"},
    )
    path = tmp_path / "written.toml"
    path.write_text(given.to_toml(), encoding="utf-8")
    assert dict(load_settings(path, environment={})) == dict(given)


def test_the_command_shows_values_and_sources(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING__DEDUPE__TTL_DAYS", "14")
    common = ["settings", "--settings", str(file), "--set", "metrics.periods=365"]
    assert main(common) == 0
    shown = capsys.readouterr().out
    for setting in SETTINGS:
        assert setting.name in shown
    assert f"file {file}" in shown
    assert main([*common, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dedupe.ttlDays"]["value"] == 14
    assert found["dedupe.ttlDays"]["source"] == "environment TRADING__DEDUPE__TTL_DAYS"
    assert found["metrics.periods"] == {
        "value": 365.0,
        "source": "--set",
        "default": 252.0,
        "allowed": "a number from 1 to 1e+07",
        "variable": "TRADING__METRICS__PERIODS",
        "description": "how many returns a year has",
    }
    assert main([*common, "tradepicker.sellRequiresLong"]) == 0
    assert capsys.readouterr().out == "false\n"
    assert main([*common, "--toml"]) == 0
    assert "[tradepicker]" in capsys.readouterr().out
    assert main(["settings", "--set", "dedupe.ttl=1"]) == 3
    assert "did you mean dedupe.ttlDays?" in capsys.readouterr().err
