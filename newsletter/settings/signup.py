"""How people subscribe by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from newsletter.settings.values import Duration, Hosts, Line, Section


def _check_limits(value: str) -> str:
    from limits import parse_many  # takes long to load, and few set any

    try:
        parse_many(value)
    except ValueError:
        raise ValueError('must be limits such as "20/hour; 60/day"') from None
    return value


Limits = Annotated[Line, AfterValidator(_check_limits)]


class SignUp(Section):
    """The page `/subscribe`, forms on other sites, and the endpoint for programs."""

    enabled: bool = Field(
        default=True,
        description="Whether people can subscribe by themselves: at /subscribe, by forms on other "
        "sites, and at /api/v1/subscriptions.",
    )
    privacy_url: Line = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Your notice on privacy, which the form links to.",
    )
    per_network: Limits = Field(
        default="20/hour; 60/day",
        description="How many sign-ups are taken from one network.",
    )
    per_domain: Limits = Field(
        default="300/hour",
        description="How many confirmations go to addresses of one domain; the others wait.",
    )
    network_v4: int = Field(
        default=24, ge=8, le=32, description="How many bits of an IPv4 address are its network."
    )
    network_v6: int = Field(
        default=48, ge=16, le=128, description="How many bits of an IPv6 address are its network."
    )
    least_time: Duration = Field(
        default=timedelta(seconds=2),
        le=timedelta(minutes=1),
        description="A form that comes back sooner is shown again: people take longer.",
    )
    refused_domains: Hosts = Field(
        default=(),
        description="Domains, and what is below them, whose addresses are not taken: those of "
        "throw-away mailboxes.",
    )
    refused_domains_file: Line = Field(
        default="",
        description="File with more of them, one a line, relative to newsletter.toml.",
    )
    keep_network: bool = Field(
        default=True,
        description="Whether the record of consent says from which network it came; never the "
        "whole address.",
    )
    keep_agent: bool = Field(
        default=True,
        description="Whether the record of consent says with which browser it was given.",
    )
