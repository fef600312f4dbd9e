"""What an error is over HTTP: one table for the console and the API."""

from __future__ import annotations

from http import HTTPStatus

from newsletter.errors import (
    ConfigurationError,
    InputError,
    NewsletterError,
    TemporaryError,
    Untimely,
)


def choose_status(error: NewsletterError) -> HTTPStatus:
    """Say whose turn it is: 422 and 409 are mended by whoever asks, 503 on this side."""
    match error:
        case InputError():
            return HTTPStatus.UNPROCESSABLE_ENTITY
        case Untimely():  # what was asked about has moved on, and asking again does not help
            return HTTPStatus.CONFLICT
        case TemporaryError() | ConfigurationError():
            return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.CONFLICT
