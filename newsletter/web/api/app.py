"""All routes of the API as one router, and the page that describes them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import HTTPBearer
from starlette.responses import HTMLResponse, Response

from newsletter.press import Press
from newsletter.render.templates import find_templates
from newsletter.web.api.audience import add_audience
from newsletter.web.api.briefs import add_briefs
from newsletter.web.api.editions import add_editions, add_sends
from newsletter.web.api.events import add_events
from newsletter.web.api.gate import Gate
from newsletter.web.api.problems import HEADERS, MEDIA_TYPE, PROBLEMS, Problem
from newsletter.web.api.scopes import NEEDS

PREFIX = "/api/v1"
_BEARER = HTTPBearer(
    auto_error=False, scheme_name="key", description="A key, made by an admin in the console."
)


def build_api(press: Press, root: str) -> APIRouter:
    """Build the API; its paths, which begin with `root`, are written out in the router."""
    prefix = root + PREFIX
    router = APIRouter(
        prefix=prefix,
        route_class=Gate(press, prefix).build_route_class(),
        dependencies=[Security(_BEARER)],
        responses=PROBLEMS,
    )
    for tag, add in (
        ("briefs", add_briefs),
        ("editions", add_editions),
        ("sends", add_sends),
        ("audience", add_audience),
        ("events", add_events),
    ):
        before = len(router.routes)
        add(router, press)
        for route in router.routes[before:]:
            _describe(route, tag, prefix)
    return router


def _describe(route: Any, tag: str, prefix: str) -> None:
    """Say in the document what a route needs."""
    (method,) = route.methods
    need = NEEDS.get((method, route.path.removeprefix(prefix)))
    route.tags = [tag]
    route.description = f"{route.description}\n\nFor keys with the scope `{need}`."


def add_documents(app: FastAPI, prefix: str) -> None:
    """Complete the document of the API, and add a page that shows it, without a script."""
    original = app.openapi

    def describe() -> dict[str, Any]:
        document = original()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", Problem.model_json_schema())
        # What FastAPI takes for granted, and the gate answers as a problem like all others.
        for path in document["paths"].values():
            for operation in path.values():
                invalid = operation["responses"].get("422", {})
                if "key" in str(operation.get("security")):
                    schema = {"$ref": "#/components/schemas/Problem"}
                    invalid["content"] = {MEDIA_TYPE: {"schema": schema}}
        return document

    app.openapi = describe  # type: ignore[method-assign]

    @app.get(f"{prefix}/docs", include_in_schema=False)
    def show_docs() -> Response:
        html = find_templates().render("api/docs.html.j2", build_page(app.openapi()), {}, {})
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        return HTMLResponse(html, headers={**HEADERS, "Content-Security-Policy": policy})


def build_page(document: dict[str, Any]) -> dict[str, Any]:
    """Give what the page shows of a document of OpenAPI. Pure."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_build_operation(path, method, operation))
    schemas = [
        {"name": name, "text": schema.get("description", ""), "fields": _list_fields(schema)}
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    return {"title": document["info"]["title"], "groups": list(groups.items()), "schemas": schemas}


def _build_operation(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers = [
        (status, answer.get("description", ""), _name_schema(_first_schema(answer)))
        for status, answer in sorted(operation["responses"].items())
    ]
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "text": operation.get("description", "").split("\n\n"),
        "parameters": [
            (
                each["name"],
                each["in"],
                each.get("required", False),
                each.get("description", "") or each["schema"].get("description", ""),
            )
            for each in operation.get("parameters", [])
        ],
        "body": _name_schema(body.get("schema", {})),
        "answers": answers,
    }


def _first_schema(answer: dict[str, Any]) -> dict[str, Any]:
    content = list(answer.get("content", {}).values())
    schema: dict[str, Any] = content[0].get("schema", {}) if content else {}
    return schema


def _name_schema(schema: dict[str, Any]) -> str:
    """Name what a schema describes, in one word or a few. Pure."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(map(_name_schema, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_name_schema(schema.get('items', {}))}"
    if "enum" in schema:
        return ", ".join(str(value) or '""' for value in schema["enum"])
    return str(schema.get("const") or schema.get("format") or schema.get("type") or "")


def _list_fields(schema: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    required = schema.get("required", [])
    return [
        (name, _name_schema(each), name in required, each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]
