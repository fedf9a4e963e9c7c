"""`/docs`: every route on one page, made from `/openapi.json`, with nothing from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid #8886; border-radius: .3rem; }
nav a { margin-right: .9rem; }
section { border-top: 1px solid #8886; margin-top: 1rem; padding-top: .4rem; }
h3 { margin: 1.2rem 0 .2rem; }
h3 b { display: inline-block; min-width: 4.2rem; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #8884; padding: .15rem .8rem .15rem 0; text-align: left; }
"""


@router.get("/docs")
def show_documentation(request: Request) -> Response:
    """Return the page."""
    return Response(_page(request.app.openapi()), media_type="text/html; charset=utf-8")


@router.get("/docs.css")
def show_style() -> Response:
    """Return how the page looks; styles inside of the page are not allowed by its policy."""
    return Response(_STYLE, media_type="text/css")


def _page(api: Mapping[str, Any]) -> str:
    by_tag: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, methods in api["paths"].items():
        for method in _METHODS:
            if method in methods:
                tag = (methods[method].get("tags") or ["other"])[0]
                by_tag.setdefault(tag, []).append((method, path, methods[method]))
    links = "".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in by_tag)
    schemas = api.get("components", {}).get("schemas", {})
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{escape(api['info']['title'])}: API</title>",
        '<link rel="stylesheet" href="/docs.css"></head><body>',
        f"<h1>{escape(api['info']['title'])}: API</h1>",
        f"<p>{escape(api['info'].get('description', ''))}</p>",
        '<p>The same as data: <a href="/openapi.json">/openapi.json</a>. The WebSocket is at '
        "<code>/ws</code>; docs/api.md describes its messages.</p>",
        f"<nav>{links}</nav>",
    ]
    for tag, operations in by_tag.items():
        parts.append(f'<section id="{_anchor(tag)}"><h2>{escape(tag)}</h2>')
        for method, path, operation in operations:
            parts += _operation(method, path, operation, schemas)
        parts.append("</section>")
    return "\n".join([*parts, "</body></html>"])


def _anchor(tag: str) -> str:
    return escape(tag.replace(" ", "-"), quote=True)


def _operation(
    method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Iterator[str]:
    yield f"<h3><b>{method.upper()}</b> <code>{escape(path)}</code></h3>"
    yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
    parameters = operation.get("parameters", ())
    if parameters:
        yield "<table><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>"
        for each in parameters:
            needed = "needed" if each.get("required") else escape(each.get("description", ""))
            yield (
                f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['in'])}</td>"
                f"<td>{escape(_type(each['schema']))}</td><td>{needed}</td></tr>"
            )
        yield "</table>"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        name = body["schema"].get("$ref", "").rpartition("/")[2]
        schema = schemas.get(name, body["schema"])
        yield f"<p>Body: {escape(schema.get('description', ''))}</p>"
        rows = "".join(_field(field, each, schema) for field, each in _fields(schema).items())
        yield f"<table><tr><th>field</th><th>type</th><th></th></tr>{rows}</table>"
        for example in schema.get("examples", ()):
            yield f"<pre>{escape(json.dumps(example, indent=2))}</pre>"
    codes = ", ".join(operation.get("responses", {}))
    yield f"<p>Answers: {escape(codes)}</p>"


def _fields(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema.get("properties", {})
    return found


def _field(name: str, field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    note = "needed" if name in schema.get("required", ()) else ""
    if "default" in field:
        note = f"default {json.dumps(field['default'])}"
    return (
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(field))}</td>"
        f"<td>{escape(note)}</td></tr>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return f"{kind} ({schema['format']})" if "format" in schema else kind
