"""What bounces mean: an address that is dead, or a mistake of our own. Pure.

One bounce says little: servers err, and mailboxes are full for a week. An address counts as dead

    address   after 2 copies within 30 days that came back because there is no such mailbox
    any       after 5 copies over 14 days or more, within 30, that came back for whatever reason,
              where most copies of that time did

Many bounces at once are our own fault more often than so many readers' (a relay that takes all
and sends all back, a signature that broke, a list that was never asked). By share of the copies
that the relay took, more than

    5 %    of an edition's first 2,000 came back from dead addresses, 20 or more
    20 %   of one domain's did, 10 or more
    50 %   of an edition's came back for whatever reason, 5 or more

speak against ourselves. Below such numbers a share says nothing. A list of 400 readers trips the
first by 21 dead addresses; one of 10 that all come back trips the third.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from newsletter.feedback.report import Finding

SPAN = timedelta(days=30)
"""How long a bounce counts."""
DEAD_BOUNCES = 2
ANY_BOUNCES, ANY_SPAN = 5, timedelta(days=14)

FIRST_COPIES = 2_000
DEAD_OF_FIRST, FEWEST_DEAD = 0.05, 20
DEAD_OF_DOMAIN, FEWEST_DEAD_OF_DOMAIN = 0.20, 10
BACK_OF_FIRST, FEWEST_BACK = 0.50, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A copy that the relay took, to the address that is judged."""

    at: datetime
    """When the relay took it."""
    bounce: Finding | None
    """ADDRESS or MESSAGE; None for one that did not come back."""


def decide_dead(copies: Sequence[Sent], now: datetime) -> str:
    """Say why an address counts as dead; "" while it does not. `copies` come in any order."""
    recent = sorted((copy for copy in copies if now - copy.at <= SPAN), key=lambda copy: copy.at)
    bounced = [copy for copy in recent if copy.bounce]
    dead = sum(copy.bounce is Finding.ADDRESS for copy in bounced)
    if dead >= DEAD_BOUNCES:
        return f"{dead} copies within {SPAN.days} days, as to no such mailbox"
    if len(bounced) < ANY_BOUNCES or bounced[-1].at - bounced[0].at < ANY_SPAN:
        return ""
    within = [copy for copy in recent if bounced[0].at <= copy.at <= bounced[-1].at]
    if 2 * len(bounced) <= len(within):
        return ""
    days = (bounced[-1].at - bounced[0].at).days
    return f"{len(bounced)} of {len(within)} copies over {days} days"


def distrust_edition(*, dead: int, back: int, first: int) -> str:
    """Say why an edition's bounces look like our own fault; "" where they do not.

    `first` are its first copies, all of them where they are fewer than FIRST_COPIES, sent or still
    to be sent: what came back of a few at a beginning says nothing. Of those `back` came back, and
    `dead` from dead addresses.
    """
    copies = f"the first {first:,} copies" if first == FIRST_COPIES else f"{first:,} copies"
    if dead >= FEWEST_DEAD and dead > DEAD_OF_FIRST * first:
        return f"{dead:,} of {copies} came back as to no such mailbox"
    if back >= FEWEST_BACK and back > BACK_OF_FIRST * first:
        return f"{back:,} of {copies} came back"
    return ""


def distrust_domain(domain: str, *, dead: int, copies: int) -> str:
    """Say why a domain's bounces look like our own fault; "" where they do not.

    `copies` are the edition's copies to it, sent or still to be sent.
    """
    if dead >= FEWEST_DEAD_OF_DOMAIN and dead > DEAD_OF_DOMAIN * copies:
        return f"{dead:,} of {copies:,} copies to {domain} came back as to no such mailbox"
    return ""
