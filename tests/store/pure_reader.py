"""Reads the part of Legend Pure that the export writes: classes, enumerations, doc strings."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z_]\w*)|(?P<sign>::|\.\.|[{}\[\].:;,=*]|\d+))",
    re.DOTALL,
)


def read_pure(source: str) -> dict[str, Any]:
    """Definitions by path: a list of members for an enumeration, properties for a class."""
    return _Reader(source).definitions()


class _Reader:
    def __init__(self, source: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        position = 0
        source = source.rstrip()
        while position < len(source):
            match = _TOKEN.match(source, position)
            assert match, f"no Pure at {source[position : position + 40]!r}"
            self.tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            position = match.end()
        self.at = 0

    def take(self, expected: str | None = None) -> str:
        kind, text = self.tokens[self.at]
        self.at += 1
        assert expected is None or text == expected, f"{text!r} where {expected!r} must stand"
        if kind == "text":
            return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), text[1:-1])
        return text

    def sees(self, text: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at] == ("sign", text)

    def definitions(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.at < len(self.tokens):
            kind = self.take()
            assert kind in ("Class", "Enum")
            doc = self.doc()
            path = self.path()
            assert path not in found, f"{path} twice"
            self.take("{")
            found[path] = {"doc": doc, **self.properties()} if kind == "Class" else self.members()
            self.take("}")
        return found

    def doc(self) -> str | None:
        if not self.sees("{"):
            return None
        self.take("{")
        assert self.path() == "meta::pure::profiles::doc"
        for sign in (".", "doc", "="):
            self.take(sign)
        text = self.take()
        self.take("}")
        return text

    def path(self) -> str:
        parts = [self.take()]
        while self.sees("::"):
            self.take("::")
            parts.append(self.take())
        return "::".join(parts)

    def properties(self) -> dict[str, tuple[str | None, str, str]]:
        found: dict[str, tuple[str | None, str, str]] = {}
        while not self.sees("}"):
            doc = self.doc()
            name = self.take()
            self.take(":")
            kind = self.path()
            self.take("[")
            count = ""
            while not self.sees("]"):
                count += self.take()
            self.take("]")
            self.take(";")
            assert name not in found
            assert count in ("1", "0..1", "*")
            found[name] = (doc, kind, count)
        return found

    def members(self) -> list[str]:
        found = [self.take()]
        while self.sees(","):
            self.take(",")
            found.append(self.take())
        return found
