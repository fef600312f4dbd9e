"""The language of segments: what is read, and the sentence about what cannot be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from newsletter.audience.segment import Age, Term, parse_segment
from newsletter.errors import AudienceError


def test_every_kind_of_term() -> None:
    segment = parse_segment(
        '  topics:markets,"World News"  -language:pt fields.City:"New York" status:active,pending '
        "consent:<2y,none active:>26w since:30d field.x:none "
    )
    assert segment.terms == (
        Term(name="topics", values=("markets", "World News")),
        Term(name="language", values=("pt",), negated=True),
        Term(name="fields.city", values=("New York",)),
        Term(name="status", values=("active", "pending")),
        Term(name="consent", values=(Age(timedelta(days=730), is_longer=False), "none")),
        Term(name="active", values=(Age(timedelta(days=182), is_longer=True),)),
        Term(name="since", values=(Age(timedelta(days=30), is_longer=False),)),
        Term(name="fields.x", values=("none",)),
    )
    assert str(parse_segment("a:1 ".replace("a", "minutes") + " topics:x")) == "minutes:1 topics:x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names nobody"),
        ("   ", "names nobody"),
        ("markets", '"markets" is no term'),
        ("topics:", '"topics:" is no term'),
        ("topics:a,", '"topics:a," has a value that is empty or not closed'),
        ("topics:,a", "has a value that is empty"),
        ("topics:a,,b", "has a value that is empty"),
        ('topics:""', "has a value that is empty"),
        ('topics:"a', "is no term"),
        ('topics:"a"b', "has a value that is empty or not closed"),
        ("topic:a", '"topic:a" asks for topic; there is active, consent, days,'),
        ("fields:a", "asks for fields"),
        ("consent:2", 'has no age in "2"; write one such as <90d'),
        ("active:90m", "has no age"),
        ("since:none", "has no age"),
        ("status:gone", 'asks for the status "gone"; there is pending, active,'),
        ("status:none", "asks for the status"),
        ("--topics:a", "is no term"),
        ("topics:a;drop table", "is no term"),
        (" ".join(["topics:a"] * 21), "has more than 20 terms"),
        ("topics:" + ",".join("abcdefghij" * 11), "has more than 100 values"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(AudienceError) as refused:
        parse_segment(text)
    sentence = str(refused.value)
    assert sentence.startswith("segment: ")
    assert said in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
