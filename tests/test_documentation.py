"""The pages: their links, the index of the decisions, and where figures stand."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.processes import ROOT

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Those that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.M)
    return frozenset(re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def linked_from(index: Path) -> set[Path]:
    links = LINK.findall(prose(index))
    return {(index.parent / link.partition("#")[0]).resolve() for link in links}


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    assert set((ROOT / "docs").glob("*.md")) - linked_from(index) == {index}


def test_the_index_of_decisions_names_each_by_its_title() -> None:
    lines = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8").splitlines()
    expected = {
        f"- [{page.read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')}]({page.name})"
        for page in DECISIONS
    }
    assert {line for line in lines if line.startswith("- ")} == expected


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_number_and_the_question_that_it_answers(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.match(
        rf"# {page.name[:4]} \S.*\n\n(\*\*Status\.\*\* .*\n\n)?\*\*Question\.\*\* ", text
    )


def test_the_readme_stays_an_overview() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
