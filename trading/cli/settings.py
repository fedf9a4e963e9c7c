"""`settings`: the values in force, and where each comes from."""

from __future__ import annotations

import argparse
import json
from typing import Any

from store.cli.output import say
from trading.settings import SETTINGS, Settings, add_settings_options, settings_of


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "settings",
        help="show the settings in force and their sources",
        description="Shows every setting with its value and source: default, file, environment "
        "(TRADING__TRADEPICKER__MAX_OPEN_POSITIONS=5) or --set. A later source wins.",
    )
    parser.add_argument("name", nargs="?", help="show the value of this setting alone")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="as JSON")
    forms.add_argument("--toml", action="store_true", help="as a settings file")
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show the settings."""
    settings = settings_of(options)
    if options.name is not None:
        value = settings[options.name]
        say(json.dumps(value, ensure_ascii=False) if options.json else _text(value))
    elif options.toml:
        say(settings.to_toml().rstrip())
    elif options.json:
        say(json.dumps(_described(settings), indent=2, ensure_ascii=False))
    else:
        rows = [(s.name, _text(settings[s.name]), settings.source(s.name)) for s in SETTINGS]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        for setting, (name, value, source) in zip(SETTINGS, rows, strict=True):
            say(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}")
            say(f"    {setting.description}: {setting.allowed}")
    return 0


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _described(settings: Settings) -> dict[str, dict[str, object]]:
    return {
        setting.name: {
            "value": settings[setting.name],
            "source": settings.source(setting.name),
            "default": setting.default,
            "allowed": setting.allowed,
            "variable": setting.variable,
            "description": setting.description,
        }
        for setting in SETTINGS
    }
