"""Answers that say no: problem+json (RFC 9457), each with one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from newsletter.errors import NewsletterError
from newsletter.web.statuses import choose_status

MEDIA_TYPE = "application/problem+json"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer of the API tells a browser that strays here."""


class Problem(BaseModel):
    """Why something was not done."""

    title: str
    status: int
    detail: str


def answer_problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Say no, in one sentence."""
    said = detail[:1].upper() + detail[1:]
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=said)
    return JSONResponse(
        problem.model_dump(),
        status_code=status,
        headers={**HEADERS, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def answer_error(error: Exception) -> JSONResponse | None:
    """Answer what was raised on purpose; None for a fault of this program."""
    match error:
        case HTTPException():
            detail = str(error.detail)
            return answer_problem(error.status_code, detail, error.headers)
        case RequestValidationError():
            return answer_problem(422, describe_invalid(error.errors()))
        case NewsletterError():
            status = choose_status(error)
            is_ours = status is HTTPStatus.SERVICE_UNAVAILABLE
            return answer_problem(status, str(error), {"Retry-After": "10"} if is_ours else None)
    return None


def describe_invalid(errors: Any) -> str:
    """Say the first thing that is wrong with a request; never repeats what it holds."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return "The body is no JSON."
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    words = str(first["msg"]).partition(", got")[0].rstrip(".")
    return f"{place}: {words}." if place else f"{words}."


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": said,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, said in {
        400: "What was sent is no request of HTTP that is understood",
        401: "There is no key, or it is not one that is good",
        403: "The key is not for this",
        404: "There is no such thing",
        409: "It makes no sense as things are",
        412: "It was changed since it was looked at",
        413: "It is too large",
        422: "What was asked is not what it should be",
        428: "If-Match is missing",
        429: "Too many requests of this key; Retry-After says when the next one is answered",
        503: "Not now; Retry-After says when to ask again",
    }.items()
}
"""What every route may answer."""
