"""A relay's words in plain ones."""

from __future__ import annotations

import pytest

from newsletter.delivery.lifecycle import State
from newsletter.delivery.words import explain_outcome

PUT_OFF, REFUSED = "the relay put it off", "the relay refused it for good"


@pytest.mark.parametrize(
    ("state", "reply", "meaning"),
    [
        (State.ACCEPTED, "250 2.0.0 Ok: queued as 2512599451B", "the relay took it"),
        (
            State.DEFERRED,
            "450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted",
            f"{PUT_OFF}: it wants to be asked again after a while (greylisting)",
        ),
        (State.DEFERRED, "452 4.2.2 over quota", f"{PUT_OFF}: the mailbox is full"),
        (State.DEFERRED, "421 4.7.28 rate", f"{PUT_OFF}: too much mail came too fast"),
        (State.DEFERRED, "451 4.3.99 odd", f"{PUT_OFF}: something about the receiving server"),
        (State.DEFERRED, "450 try later", PUT_OFF),
        (State.DEFERRED, "the connection ended", "it was not handed over"),
        (State.FAILED, "550 5.1.1 no such user", f"{REFUSED}: there is no such mailbox"),
        (State.FAILED, "550 5.1.10 null MX", f"{REFUSED}: the domain takes no mail"),
        (State.FAILED, "554 5.7.999 go away", f"{REFUSED}: the receiving side's policy"),
        (State.FAILED, "554 no", REFUSED),
        (State.FAILED, "554 5.9.9 what", REFUSED),
        (State.FAILED, "not sent: an address that cannot stand there", "it could not be sent"),
        (
            State.BOUNCED,
            "550 5.1.1 no such user",
            "it came back later: there is no such mailbox",
        ),
        (State.BOUNCED, "550 no", "it came back later"),
        (
            State.IN_DOUBT,
            "250-never ending",
            "it was handed over and never answered: the relay may have it or not",
        ),
    ],
)
def test_what_words_mean(state: State, reply: str, meaning: str) -> None:
    assert explain_outcome(state, reply) == meaning


@pytest.mark.parametrize("state", list(State))
def test_every_outcome_has_words(state: State) -> None:
    assert explain_outcome(state, "")
