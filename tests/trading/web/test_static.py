"""The page's files: nothing from outside, nothing that its policy refuses, no HTML from texts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trading.web import static_folder

STATIC = static_folder()
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
OURS = [path for path in FILES if path.suffix in (".js", ".html", ".css")]


def name_of(path: Path) -> str:
    return str(path.relative_to(STATIC))


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    # A link that a person may follow loads nothing.
    text = re.sub(r'<a href="https://[^"]+" target="_blank" rel="noopener noreferrer">', "", text)
    assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}|@import|url\(", text)


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_no_text_becomes_html_or_code(path: Path) -> None:
    text = path.read_text()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    )
    assert not re.findall(forbidden, text)
    if path.suffix == ".html":
        assert not re.findall(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", text)


def test_the_chart_library_comes_with_its_licence() -> None:
    script = (STATIC / "vendor" / "lightweight-charts.mjs").read_text()
    assert "Lightweight Charts" in script[:300]
    assert "Apache License" in (STATIC / "vendor" / "LICENSE.lightweight-charts.txt").read_text()
    # Its notice asks for a text and a link on the page.
    page = (STATIC / "index.html").read_text()
    assert "TradingView Lightweight Charts™, Copyright ©" in page
    assert 'href="https://www.tradingview.com/"' in page


def test_every_module_and_file_that_is_named_is_there() -> None:
    for path in OURS:
        text = path.read_text()
        for name in re.findall(r'(?:from|import\() ?"([^"]+)"', text):
            assert (path.parent / name).is_file(), f"{name_of(path)} imports {name}"
        if path.suffix == ".html":
            for name in re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+)"', text):
                assert (path.parent / name).is_file(), f"{name_of(path)} names {name}"
    ids = set(re.findall(r'\bid="([^"]+)"', (STATIC / "index.html").read_text()))
    scripts = "".join(path.read_text() for path in (STATIC / "js").glob("*.js"))
    made = set(re.findall(r'id: "([^"]+)"', scripts))
    for path in (STATIC / "js").glob("*.js"):
        for name in re.findall(r'byId\("([^"]+)"\)', path.read_text()):
            assert name in ids | made or name.startswith("tab-"), f"{path.name} asks for #{name}"
