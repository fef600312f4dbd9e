"""Exports of other services, with the headings that these write."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from newsletter.audience.foreign import parse_renaming, read_table
from newsletter.audience.importer import ImportReport, import_subscribers
from newsletter.audience.subscribers import find_subscriber, list_subscribers
from newsletter.errors import AudienceError
from newsletter.store import Database
from newsletter.store.database import connect_database
from newsletter.store.tables import metadata
from tests.audience import PSEUDONYMS

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
MAILCHIMP = (
    "Email Address,First Name,Last Name,Favourite Team,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,"
    "CONFIRM_TIME,CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,LAST_CHANGED,"
    "LEID,EUID,NOTES,TAGS"
)
ROW = (
    "{email},Ada,Lovelace,Rovers,4,2020-02-03 04:05:06,192.0.2.1,2020-02-03 04:06:00,192.0.2.1,"
    '52.5,13.4,1,2,{zone},DE,BE,2021-01-01 00:00:00,123,abc,,"""VIP"",""Blog"""'
)


@pytest.fixture
def database() -> Iterator[Database]:
    database = connect_database("sqlite://")
    with database.writing() as connection:
        metadata.create_all(connection)
    yield database
    database.close()


class Named(io.BytesIO):
    """A file in memory that has a name."""

    name = "export.csv"


def load(database: Database, text: str, *, name: str = "export.csv") -> ImportReport:
    stream = Named(text.encode())
    stream.name = name
    return import_subscribers(
        database,
        stream,
        now=NOW,
        pseudonyms=PSEUDONYMS,
        consent_source="moved from there",
        needs_consent=True,
    )


def statuses(database: Database) -> dict[str, str]:
    return {reader.email: reader.status for reader in list_subscribers(database)}


def test_mailchimp_subscribed(database: Database) -> None:
    rows = [ROW.format(email="ada@b.example", zone="Europe/Berlin")]
    rows += [ROW.format(email="bo@b.example", zone="Mitteleuropa")]
    report = load(database, "\n".join([MAILCHIMP, *rows]))
    assert (report.service, report.added, report.bad_rows) == ("Mailchimp", 2, ())
    ada = find_subscriber(database, "ada@b.example")
    assert ada is not None
    assert (ada.name, ada.status) == ("Ada Lovelace", "active")
    assert ada.choices.timezone == "Europe/Berlin"
    assert ada.created_at == datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert ada.consent_at == datetime(2020, 2, 3, 4, 6, tzinfo=UTC)
    assert ada.consent_source == "moved from there"
    assert ada.fields == {"favourite_team": "Rovers", "tags": '"VIP","Blog"'}
    bo = find_subscriber(database, "bo@b.example")
    assert bo is not None
    assert bo.choices.timezone == ""  # what Mailchimp guessed is no zone


@pytest.mark.parametrize(
    ("more", "cells", "name", "status"),
    [
        ("UNSUB_TIME,UNSUB_REASON", "2021-05-05 10:00:00,NORMAL", "x.csv", "unsubscribed"),
        ("UNSUB_TIME,UNSUB_REASON", "2021-05-05 10:00:00,ABUSE", "x.csv", "complained"),
        ("CLEAN_TIME,CLEAN_CAMPAIGN_ID", "2021-05-05 10:00:00,9", "x.csv", "bounced"),
        ("X,Y", ",", "cleaned_members_export_1.csv", "bounced"),
        ("X,Y", ",", "/tmp/unsubscribed_members_export_1.csv", "unsubscribed"),
    ],
)
def test_mailchimp_says_who_must_not_be_mailed(
    database: Database, more: str, cells: str, name: str, status: str
) -> None:
    row = ROW.format(email="ada@b.example", zone="")
    report = load(database, f"{MAILCHIMP},{more}\n{row},{cells}\n", name=name)
    assert (report.added, report.kept_out) == (0, {status: 1})
    assert statuses(database) == {"ada@b.example": status}
    assert load(database, "email\nada@b.example\n").kept_out == {status: 1}


def test_mailchimp_contacts_who_never_subscribed_are_refused(database: Database) -> None:
    with pytest.raises(AudienceError, match="never asked for mail"):
        load(database, f"{MAILCHIMP}\n", name="nonsubscribed_members_export_1.csv")


def test_substack(database: Database) -> None:
    text = (
        "email,active_subscription,expiry,plan,email_disabled,created_at,first_payment_at\n"
        "free@b.example,false,,other,false,2025-01-01T00:00:00.000Z,\n"
        "paid@b.example,true,2027-07-01T00:00:00.000Z,yearly,false,2026-05-01T00:00:00.000Z,\n"
        "off@b.example,false,,other,true,2025-01-01T00:00:00.000Z,\n"
        "odd@b.example,false,,other,perhaps,2025-01-01T00:00:00.000Z,\n"
    )
    report = load(database, text)
    assert (report.service, report.added, report.kept_out) == ("Substack", 2, {"unsubscribed": 1})
    assert [row.line for row in report.bad_rows] == [5]
    assert statuses(database)["off@b.example"] == "unsubscribed"
    paid = find_subscriber(database, "paid@b.example")
    assert paid is not None
    assert paid.fields["plan"] == "yearly"
    assert paid.created_at == paid.consent_at == datetime(2026, 5, 1, tzinfo=UTC)


def test_ghost(database: Database) -> None:
    text = (
        "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,"
        "created_at,deleted_at,labels,tiers\n"
        "1,a@b.example,Sam,Early,true,false,cus_1,2018-12-25T20:43:22.178Z,,vip,gold\n"
        "2,b@b.example,Sue,,false,false,,2018-12-25T20:43:22.178Z,,,\n"
        "3,c@b.example,Tom,,true,false,,2018-12-25T20:43:22.178Z,2020-01-01T00:00:00.000Z,,\n"
    )
    report = load(database, text)
    assert (report.service, report.added, report.kept_out) == ("Ghost", 1, {"unsubscribed": 2})
    sam = find_subscriber(database, "a@b.example")
    assert sam is not None
    expected = {"note": "Early", "labels": "vip", "tiers": "gold", "complimentary_plan": "false"}
    assert (sam.name, sam.fields) == ("Sam", expected)


def test_listmonk(database: Database) -> None:
    text = (
        "uuid,email,name,attributes,status,created_at,updated_at\n"
        'u1,a@b.example,Ann,"{""city"": ""Köln"", ""Age"": 42, ""tags"": [""x""], ""no"": null}",'
        "enabled,2023-02-24 09:14:23.458922 +0000 UTC,2023-02-24 09:14:23 +0000 UTC\n"
        "u2,b@b.example,Bob,{},disabled,2023-02-24 09:14:23 +0200 CEST,\n"
        "u3,c@b.example,Cem,{},blocklisted,2023-02-24 09:14:23 +0000 UTC,\n"
        "u4,d@b.example,Dan,[1],enabled,2023-02-24 09:14:23 +0000 UTC,\n"
    )
    report = load(database, text)
    assert (report.service, report.added, report.kept_out) == ("listmonk", 1, {"unsubscribed": 2})
    assert "is no JSON object" in report.bad_rows[0].reason
    assert report.own_fields == ("city", "age", "tags")
    ann = find_subscriber(database, "a@b.example")
    assert ann is not None
    assert ann.fields == {"city": "Köln", "age": "42", "tags": '["x"]'}
    assert ann.created_at == datetime(2023, 2, 24, 9, 14, 23, 458922, tzinfo=UTC)
    bob = find_subscriber(database, "b@b.example")
    assert bob is not None
    assert bob.created_at == datetime(2023, 2, 24, 7, 14, 23, tzinfo=UTC)


def test_a_row_of_another_length_is_met_as_in_any_table(database: Database) -> None:
    text = (
        "email,active_subscription,expiry,email_disabled,created_at\n"
        "short@b.example,false\nlong@b.example,false,,false,2025-01-01,surplus\n"
    )
    report = load(database, text)
    assert (report.added, [row.line for row in report.bad_rows]) == (1, [3])


@pytest.mark.parametrize("heading", ["Their Mail", "their_mail", "THEIR-MAIL"])
def test_columns_can_be_renamed(heading: str) -> None:
    renamed = dict([parse_renaming(f"{heading}=email"), parse_renaming("a=b=fields")])
    table = read_table(["Their Mail", "a=b", "Email"], renamed=renamed)
    assert table.headings == ("email", "fields", "their Email")


@pytest.mark.parametrize(
    ("renamed", "said"),
    [
        ({"Mail": "email"}, '"Mail" is no column of the file; it has "email", "x"'),
        ({"": "email"}, '"" is no column'),
    ],
)
def test_a_renaming_of_nothing_is_refused(renamed: dict[str, str], said: str) -> None:
    with pytest.raises(AudienceError) as refused:
        read_table(["email", "x"], renamed=renamed)
    assert said in str(refused.value)


def test_what_a_service_says_of_its_readers_cannot_be_renamed_away() -> None:
    with pytest.raises(AudienceError, match="Substack export that is left"):
        read_table(
            ["email", "active_subscription", "email_disabled"],
            renamed={"email_disabled": "fields"},
        )


@pytest.mark.parametrize("text", ["email", "=email", "Mail=", " = "])
def test_a_renaming_needs_both_sides(text: str) -> None:
    with pytest.raises(AudienceError, match="Their Column=email"):
        parse_renaming(text)
