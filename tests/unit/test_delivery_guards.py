"""What a run's refusals say together."""

from __future__ import annotations

import pytest

from newsletter.delivery.guards import Action, Alert, AlertKind, Guards
from newsletter.delivery.lifecycle import State
from newsletter.delivery.retry import ACCEPTED, Reason, Scope, Verdict


def refusal(reason: Reason) -> Verdict:
    return Verdict(State.FAILED, Scope.MESSAGE, reason)


def note(guards: Guards, domain: str, reason: Reason, times: int = 1) -> list[Alert]:
    verdict = ACCEPTED if reason is Reason.ACCEPTED else refusal(reason)
    alerts = [guards.note(domain, verdict, "550 no") for _ in range(times)]
    return [alert for alert in alerts if alert is not None]


@pytest.mark.parametrize(("accepted", "refused", "breaks"), [(0, 4, 0), (0, 5, 1), (300, 5, 0)])
def test_a_domain_that_refuses_too_many_is_left_alone(
    accepted: int, refused: int, breaks: int
) -> None:
    guards = Guards()
    note(guards, "a.example", Reason.ACCEPTED, accepted)
    alerts = note(guards, "a.example", Reason.UNWANTED, refused)
    assert [(alert.kind, alert.action, alert.about) for alert in alerts] == [
        (AlertKind.UNWANTED, Action.BREAK, "a.example")
    ] * breaks
    assert guards.is_unwelcome("a.example") == bool(breaks)
    assert not guards.is_unwelcome("b.example")


def test_two_in_a_hundred_of_a_domain_may_be_refused_and_no_more() -> None:
    guards = Guards()
    note(guards, "a.example", Reason.ACCEPTED, 294)
    assert note(guards, "a.example", Reason.UNWANTED, 6) == []
    note(guards, "b.example", Reason.ACCEPTED, 10_000)
    (alert,) = note(guards, "a.example", Reason.UNWANTED)
    assert "7 of 301" in alert.sentence


@pytest.mark.parametrize("reason", [Reason.UNWANTED, Reason.CONTENT])
def test_more_than_one_in_a_hundred_unwanted_stops(reason: Reason) -> None:
    guards = Guards()
    note(guards, "big.example", Reason.ACCEPTED, 990)
    alerts = [alert for n in range(9) for alert in note(guards, f"d{n}.example", reason)]
    assert alerts == []
    assert note(guards, "x.example", reason) == []  # 10 of 1,000
    (alert,) = note(guards, "y.example", reason)
    assert (alert.kind, alert.action, alert.about) == (AlertKind.UNWANTED, Action.STOP, "")


def test_content_that_nobody_wants_stops_after_a_few() -> None:
    alerts = note(Guards(), "a.example", Reason.CONTENT, 10)
    assert [alert.action for alert in alerts] == [Action.STOP]


def test_five_in_a_hundred_dead_among_the_first_stop_and_nobody_is_dead() -> None:
    guards = Guards()
    alerts: list[Alert] = []
    for n in range(500):
        alerts += note(guards, f"d{n % 50}.example", Reason.ACCEPTED, 18)
        alerts += note(guards, f"d{n % 50}.example", Reason.DEAD)
        if alerts:
            break
    (alert,) = alerts
    assert (alert.kind, alert.action, alert.about) == (AlertKind.DEAD, Action.STOP, "")
    assert "20 of the first 380" in alert.sentence
    assert not guards.believes_dead("d1.example")
    assert not guards.believes_dead("other.example")


def test_dead_addresses_of_an_old_list_are_believed() -> None:
    guards = Guards()
    for n in range(3000):
        alerts = note(guards, f"d{n % 50}.example", Reason.ACCEPTED, 24)
        assert alerts + note(guards, f"d{n % 50}.example", Reason.DEAD) == []
    assert guards.believes_dead("d1.example")


def test_after_the_first_thousands_only_a_domain_can_be_too_dead() -> None:
    guards = Guards()
    note(guards, "a.example", Reason.ACCEPTED, 2000)
    assert note(guards, "a.example", Reason.DEAD, 200) == []
    (alert,) = note(guards, "b.example", Reason.DEAD, 10)
    assert (alert.action, alert.about) == (Action.STOP, "b.example")
    assert not guards.believes_dead("b.example")
    assert guards.believes_dead("a.example")


def test_a_provider_that_refuses_our_identity_is_told_once() -> None:
    guards = Guards()
    (alert,) = note(guards, "gmail.example", Reason.IDENTITY, 4)
    assert (alert.action, alert.about) == (Action.BREAK, "gmail.example")


def test_providers_that_all_refuse_our_identity_stop_the_run() -> None:
    guards = Guards()
    names = ["a.example", "b.example", "c.example"]
    alerts = [alert for name in names for alert in note(guards, name, Reason.IDENTITY)]
    assert [alert.action for alert in alerts] == [Action.BREAK, Action.BREAK, Action.STOP]


def test_hosted_domains_of_one_provider_do_not_stop_what_others_accept() -> None:
    guards = Guards()
    note(guards, "other.example", Reason.ACCEPTED)
    alerts = [alert for n in range(30) for alert in note(guards, f"{n}.example", Reason.IDENTITY)]
    assert {alert.action for alert in alerts} == {Action.BREAK}


def test_faults_that_hit_everybody_stop_and_fail_nobody() -> None:
    guards = Guards()
    alerts = []
    for _ in range(5):
        verdict = guards.judge_fault()
        assert verdict.state is State.DEFERRED
        alerts.append(guards.note("a.example", verdict, "no title"))
    assert alerts[:4] == [None] * 4
    assert alerts[4]
    assert (alerts[4].kind, alerts[4].action) == (AlertKind.FAULT, Action.STOP)
    assert "no title" in alerts[4].sentence


def test_a_fault_among_messages_that_went_is_its_readers_own() -> None:
    guards = Guards()
    note(guards, "a.example", Reason.ACCEPTED)
    assert guards.judge_fault().state is State.FAILED
    assert [guards.note("a.example", guards.judge_fault(), "x") for _ in range(50)] == [None] * 50


def test_size_is_told_for_a_few_domains_and_then_once() -> None:
    guards = Guards()
    alerts = [alert for n in range(9) for alert in note(guards, f"{n}.example", Reason.TOO_BIG, 2)]
    assert [alert.about for alert in alerts] == ["0.example", "1.example", "2.example", ""]
    assert {alert.action for alert in alerts} == {Action.NOTE}


def test_what_is_only_put_off_alarms_nobody() -> None:
    later = Verdict(State.DEFERRED, Scope.RECIPIENT, Reason.GREYLISTED)
    guards = Guards()
    assert [guards.note("a.example", later, "450") for _ in range(5000)] == [None] * 5000
