"""Which editions readers may have, and which are daily ones, as conditions that others share."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, or_

from newsletter.editions.lifecycle import RELEASED
from newsletter.settings import NOT_DAILY
from newsletter.store.tables import deliveries, editions

REACHED = ("leased", "sending", "accepted", "in_doubt", "bounced")
"""Delivery states after which a reader may have a copy, or be about to get one."""


def is_released() -> ColumnElement[bool]:
    """Give the condition: approved, or cancelled when it had reached somebody."""
    _e, _d = editions.c, deliveries.c
    reached = exists().where(_d.edition_id == _e.id, _d.state.in_(REACHED))
    return and_(
        _e.dated_at.is_not(None),
        _e.content.is_not(None),
        or_(_e.state.in_(RELEASED), and_(_e.state == "cancelled", reached)),
    )


def is_daily_row() -> ColumnElement[bool]:
    """Give the condition that an edition is a daily one, as `settings.is_daily` says of a kind."""
    return editions.c.kind.not_in(NOT_DAILY)
