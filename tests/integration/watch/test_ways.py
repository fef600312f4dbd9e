"""Each way to tell: over a real relay, to a real web server, through the real library."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from newsletter.errors import ConfigurationError, NewsletterError
from newsletter.press.composing import gather
from newsletter.settings import Settings
from newsletter.store import Database
from newsletter.watch.telling import Telling, Way
from newsletter.watch.ways import NotTold, build_ways
from tests.integration.watch.stage import SECRET, Ward, alerts_to
from tests.receiver import Receiver
from tests.relays import Authority, ScriptedRelay

NOW = datetime(2026, 11, 23, 7, 20, tzinfo=UTC)


def telling(way: Way, sentence: str = "the edition is 20 min late: …") -> Telling:
    return Telling(
        alarm_id=7,
        key="edition/2026-11-23",
        kind="edition_late",
        what="raised/relay_refuses",
        way=way,
        sentence=sentence,
        made_at=NOW,
    )


def build(root: Path, **alerts: Any) -> Settings:
    return Settings.model_validate(
        {
            "publication": {
                "name": "Häfen heute",
                "sender": "daily@news.example",
                "list_id": "daily.news.example",
                "url": "https://news.example",
            },
            "delivery": {"relay": "eml:outbox"},
            "alerts": alerts,
            "secret_key": "k" * 40,
            "root": root,
        }
    )


def test_mail_goes_over_a_relay_of_its_own_with_login_and_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with ScriptedRelay(tls=authority.issue(), login=("ops", "sesame-of-ops")) as relay:
        settings = build(
            tmp_path,
            mail_to="ops@desk.example, duty@desk.example",
            relay=relay.url,
            relay_password="sesame-of-ops",
        )
        trusting = settings.delivery.model_copy(update={"ca_file": authority.ca_file})
        settings = settings.model_copy(update={"delivery": trusting})
        sentence = ".a sentence that begins with a dot and is " + "long " * 40 + "– at last."
        build_ways(settings)["mail"](telling("mail", sentence))
    assert [taken.recipient for taken in relay.accepted] == [
        "ops@desk.example",
        "duty@desk.example",
    ]
    message = email.message_from_bytes(relay.accepted[0].content, policy=email.policy.default)
    assert message["subject"] == "[Häfen heute] Alert: edition late"
    assert message["from"] == "Häfen heute <daily@news.example>"
    assert message["auto-submitted"] == "auto-generated"
    assert message.get_content().startswith(sentence)
    assert not message.defects


def test_mail_that_is_refused_is_not_told(tmp_path: Path) -> None:
    with ScriptedRelay({"RCPT": "550 5.1.1 nobody"}) as relay:
        ways = build_ways(build(tmp_path, mail_to="ops@desk.example", relay=relay.url))
        with pytest.raises(NewsletterError, match="refused an alert"):
            ways["mail"](telling("mail"))


def test_who_took_it_does_not_get_it_again_since_another_refuses(tmp_path: Path) -> None:
    with ScriptedRelay({"RCPT": ["250 2.1.5 ok", "451 4.7.1 later"]}) as relay:
        to = "ops@desk.example, duty@desk.example"
        tell = build_ways(build(tmp_path, mail_to=to, relay=relay.url))["mail"]
        with pytest.raises(NewsletterError, match="later"):
            tell(telling("mail"))
        tell(telling("mail"))
    assert [taken.recipient for taken in relay.accepted] == [
        "ops@desk.example",
        "duty@desk.example",
    ]


def test_a_webhook_is_signed_with_its_time(tmp_path: Path) -> None:
    with Receiver() as receiver:
        build_ways(build(tmp_path, **alerts_to(receiver.url)))["webhook"](telling("webhook"))
    (call,) = receiver.calls
    assert call.method == "POST"
    fields = dict(part.split("=") for part in call.headers["newsletter-signature"].split(","))
    signed = f"{fields['t']}.".encode() + call.body
    assert fields["v1"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert abs(int(fields["t"]) - datetime.now(UTC).timestamp()) < 60
    assert call.document == {
        "id": "7-20261123T072000-raised-relay_refuses",
        "publication": "Häfen heute",
        "state": "raised",
        "kind": "edition_late",
        "about": "edition/2026-11-23",
        "sentence": "the edition is 20 min late: …",
        "at": "2026-11-23T07:20:00+00:00",
    }


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_webhook_that_answers_badly_is_not_told(tmp_path: Path, status: int) -> None:
    with Receiver(lambda _before: status) as receiver:
        ways = build_ways(build(tmp_path, **alerts_to(receiver.url)))
        with pytest.raises(NewsletterError, match=f"127.0.0.1 answered {status}") as error:
            ways["webhook"](telling("webhook"))
    assert "/hook" not in str(error.value)  # the path may be the secret
    assert len(receiver.calls) == 1


def test_a_webhook_at_a_private_address_needs_the_setting(tmp_path: Path) -> None:
    with Receiver() as receiver:
        settings = build(tmp_path, **alerts_to(receiver.url, allow_private=False))
        with pytest.raises(NewsletterError, match=r"alerts\.allow_private"):
            build_ways(settings)["webhook"](telling("webhook"))
    assert receiver.calls == []


def test_chat_services_get_it_each_once_though_one_of_them_fails(tmp_path: Path) -> None:
    with Receiver() as good, Receiver(lambda before: 500 if before < 1 else 200) as bad:
        urls = " ".join(server.url.replace("http://", "json://") for server in (good, bad))
        tell = build_ways(build(tmp_path, apprise=urls))["apprise"]
        with pytest.raises(NewsletterError, match="json did not take it"):
            tell(telling("apprise"))
        tell(telling("apprise"))
    assert (len(good.calls), len(bad.calls)) == (1, 2)
    assert good.calls[0].document["message"] == "the edition is 20 min late: …"
    assert good.calls[0].document["title"] == "[Häfen heute] Alert: edition late"


@pytest.mark.parametrize(
    ("alerts", "words"),
    [
        ({"apprise": "nonsense://x"}, "alerts.apprise: the 1. address"),
        ({"mail_to": "a@b.example", "relay": "carrier-pigeon:"}, "alerts.relay"),
        (alerts_to("ftp://hooks.example/"), "alerts.webhook_url: is no web address"),
    ],
)
def test_what_is_named_wrongly_is_said_at_the_start(
    tmp_path: Path, alerts: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build_ways(build(tmp_path, **alerts))


def test_a_way_that_fails_goes_by_the_others_and_is_tried_again(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with Receiver(lambda before: 503 if before < 2 else 204) as hook, ScriptedRelay() as relay:
        ward = Ward(
            tmp_path,
            database,
            relay="eml:outbox",
            alerts=alerts_to(
                hook.url, mail_to="ops@desk.example", relay=relay.url, disk_free_mb=10**9
            ),
        )
        watchdog = ward.watchdog()
        for _ in range(6):
            watchdog.look()
            ward.now = ward.now.replace(minute=ward.now.minute + 2)
        assert [c.document["kind"] for c in hook.calls] == ["disk"] * 3
    assert len(relay.accepted) == 1
    told = [r for r in caplog.records if "could not be told by webhook" in r.getMessage()]
    assert len(told) == 1  # the log says it once


def test_a_way_that_does_not_answer_is_tried_once_a_look(
    tmp_path: Path, database: Database
) -> None:
    tried = []

    def fail(telling: Telling) -> None:
        tried.append(telling)
        raise NotTold("it is away")

    sources = [{"kind": "folder", "name": f"s{n}", "path": f"none{n}"} for n in range(4)]
    ward = Ward(
        tmp_path, database, relay="eml:outbox", sources=sources, alerts={"disk_free_mb": 10**9}
    )
    watchdog = ward.watchdog(ways={"webhook": fail})
    for _ in range(3):
        gather(ward.press)
        ward.now += timedelta(minutes=40)
    watchdog.look()
    assert len(ward.standing()) > 4
    assert len(tried) == 1
    assert all(each.untold == (("webhook", "it is away."),) for each in ward.standing().values())


def test_nothing_that_a_way_raises_ends_the_watch(tmp_path: Path, database: Database) -> None:
    def explode(_telling: Telling) -> None:
        raise RuntimeError("a library with a fault")

    ward = Ward(tmp_path, database, relay="eml:outbox", alerts={"disk_free_mb": 10**9})
    ward.watchdog(ways={"apprise": explode}).look()
    (standing,) = ward.standing().values()
    assert standing.untold == (("apprise", "RuntimeError: a library with a fault"),)
