"""Tells webhooks what happened, beside the queue of single mails, in threads of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

from newsletter.briefs.fetcher import call
from newsletter.briefs.gather import describe_us
from newsletter.delivery.feed import forget_old, has_new, number_new
from newsletter.delivery.holder import describe_self
from newsletter.delivery.posting import (
    Post,
    find_due_posts,
    give_up,
    record_answer,
    take_post,
    tell_hook,
)
from newsletter.errors import ConfigurationError
from newsletter.press import Press
from newsletter.press.rounds import going_round
from newsletter.settings import VARIABLE, Webhook, read_environment

log = logging.getLogger("newsletter.webhooks")

LOOK_SECONDS = 1.0
_TIDY_EVERY = 600
"""Looks between two tidyings."""
_SPARE = timedelta(seconds=30)
"""What a lease lasts longer than the request that it is for."""


class Teller:
    """Tells each hook what it has not been told yet."""

    def __init__(self, press: Press) -> None:
        """Read the secrets; raises `ConfigurationError` where one is not set."""
        self._press = press
        self._hooks = {hook.label: hook for hook in press.settings.webhooks}
        self._secrets = read_secrets(press)
        self._told: dict[str, str] = {}

    def tell_due(self) -> int:
        """Tell each hook what is due for it, one thing after another; say how many took theirs.

        One post a hook is under way at a time, and hooks do not wait for each other.
        """
        database, now = self._press.database, self._press.now
        with database.reading() as connection:
            is_new = has_new(connection)
        while is_new:
            with database.writing() as connection:
                is_new = number_new(connection, tuple(self._hooks.values()), now()) > 0
        with database.reading() as connection:
            due = find_due_posts(connection, now())
        mine = list(filter(None, (self._take(post) for post in due if post.hook in self._hooks)))
        if not mine:
            return 0
        with ThreadPoolExecutor(len(mine), thread_name_prefix="webhook") as pool:
            return sum(pool.map(self._tell, mine))

    def tidy(self) -> None:
        """Forget what is old, and give up what is for hooks that are gone."""
        now = self._press.now()
        with self._press.database.writing() as connection:
            forget_old(connection, now - self._press.settings.api.keep)
            give_up(connection, frozenset(self._hooks), now)

    def _take(self, post: Post) -> Post | None:
        lease = self._hooks[post.hook].timeout + _SPARE
        with self._press.database.writing() as connection:
            return take_post(connection, post, describe_self(), self._press.now(), lease=lease)

    def _tell(self, post: Post) -> bool:
        hook, now = self._hooks[post.hook], self._press.now()

        def knock(body: bytes, headers: Mapping[str, str]) -> int:
            return call(
                hook.url,
                body=body,
                headers=headers,
                allow_private=hook.allow_private,
                timeout_seconds=hook.timeout.total_seconds(),
                user_agent=describe_us(self._press.settings),
            ).status

        problem = tell_hook(post, self._secrets[post.hook], now, knock)
        with self._press.database.writing() as connection:
            record_answer(connection, post, problem, self._press.now())
        if problem and self._told.get(post.hook) != problem:  # once, however often it is tried
            log.warning("webhook %s: %s", post.hook, problem)
        self._told[post.hook] = problem
        return not problem


def read_secrets(press: Press) -> dict[str, str]:
    """Read the secret of each hook, by its label; raises `ConfigurationError` for a missing one."""
    environment = read_environment(press.settings.root) if press.settings.webhooks else {}

    def read(hook: Webhook, name: str) -> str:
        if value := environment.get(name, ""):
            return value
        raise ConfigurationError(
            f"{name} is not set, which signs what {hook.label} is told",
            field="webhooks",
            mend="put it into .env beside newsletter.toml",
        )

    return {
        hook.label: VARIABLE.sub(lambda found, hook=hook: read(hook, found[1]), hook.secret)  # type: ignore[misc]
        for hook in press.settings.webhooks
    }


@contextmanager
def telling(press: Press) -> Iterator[None]:
    """Tell webhooks while the block lasts. Raises `ConfigurationError` for a missing secret."""
    teller = Teller(press)
    looks = count()

    def look() -> float:
        if next(looks) % _TIDY_EVERY == 0:
            teller.tidy()
        return 0.0 if teller.tell_due() else LOOK_SECONDS

    with going_round(
        look,
        name="webhooks",
        pause_seconds=LOOK_SECONDS,
        warn=lambda error: log.warning("webhooks wait: %s", error),
        log=log,
    ):
        yield
