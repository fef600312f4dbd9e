"""DMARC (RFC 9989): which policy holds for a domain, found by walking up the DNS tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from newsletter.doctor.check import Check, wanting, well, wrong
from newsletter.doctor.names import LookUp

_MOST_LABELS = 8
"""A name of so many labels or more is walked up from its last seven (RFC 9989 §4.10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A DMARC record and where it stands."""

    domain: str
    tags: Mapping[str, str]

    @property
    def psd(self) -> str:
        """Whether it is a public suffix's: y, n, or u for unsaid."""
        return self.tags.get("psd", "u").lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What receivers are asked to do with mail of a domain that fails."""

    record: Record
    organizational: str
    """The organizational domain, which relaxed alignment goes by."""
    wanted: str
    """none, quarantine or reject."""


def parse_record(domain: str, texts: Sequence[str]) -> Record | None:
    """Read the record among a name's texts; None for none, and for more than one."""
    found = []
    for text in texts:
        pairs = [part.partition("=") for part in text.split(";") if part.strip()]
        tags = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        if tags and tags[0] == ("v", "DMARC1"):
            found.append(Record(domain=domain, tags=dict(tags)))
    return found[0] if len(found) == 1 else None


def list_walk(domain: str) -> list[str]:
    """List the names that the walk asks about: the domain, and then up to its last label."""
    labels = domain.lower().rstrip(".").split(".")
    first = 1 if len(labels) < _MOST_LABELS else len(labels) - (_MOST_LABELS - 1)
    return [".".join(labels), *(".".join(labels[at:]) for at in range(first, len(labels)))]


def find_organizational(domain: str, look_up: LookUp) -> tuple[str, list[Record]]:
    """Find the organizational domain of a domain, and the records met on the way up.

    A record with psd=n says that it is one; under one with psd=y it is one label longer; else
    it is the shortest name that has a record, or the domain itself where none has.
    """
    met: list[Record] = []
    walk = list_walk(domain)
    for number, name in enumerate(walk):
        record = parse_record(name, look_up(f"_dmarc.{name}"))
        if record is None:
            continue
        met.append(record)
        if record.psd == "n":
            return name, met
        if record.psd == "y" and number:
            labels = domain.lower().rstrip(".").split(".")
            return ".".join(labels[-(name.count(".") + 2) :]), met
    return (met[-1].domain if met else walk[0]), met


def find_policy(domain: str, look_up: LookUp) -> Policy | None:
    """Find the policy for mail from a domain; None where there is none."""
    domain = domain.lower().rstrip(".")
    organizational, met = find_organizational(domain, look_up)
    by_domain = {record.domain: record for record in met}
    own = by_domain.get(domain)
    record = own or by_domain.get(organizational) or next((r for r in met if r.psd == "y"), None)
    if record is None:
        return None
    wanted = record.tags.get("p", "none").lower()
    if own is None:
        wanted = record.tags.get("sp", wanted).lower()
    if wanted not in ("none", "quarantine", "reject"):
        wanted = "none"
    return Policy(record=record, organizational=organizational, wanted=wanted)


def is_aligned(author: str, signed: str, policy: Policy, mode_tag: str, look_up: LookUp) -> bool:
    """Tell whether a domain that was authenticated stands for the author's domain."""
    author, signed = author.lower().rstrip("."), signed.lower().rstrip(".")
    if author == signed:
        return True
    if policy.record.tags.get(mode_tag, "r").lower() == "s":
        return False
    return find_organizational(signed, look_up)[0] == policy.organizational


def check_dmarc(author: str, *, envelope: str, signing: Sequence[str], look_up: LookUp) -> Check:
    """Check the policy for the sender's domain, and that SPF and DKIM are aligned with it.

    `signing` are the domains of our own keys; none where the relay signs. May raise `Unanswered`.
    """
    name = "dmarc"
    policy = find_policy(author, look_up)
    if policy is None:
        return wrong(
            name,
            f"there is no DMARC policy for {author}; large providers refuse bulk mail without.",
            f'publish a TXT record at _dmarc.{author} such as "v=DMARC1; p=none; rua=mailto:…"',
        )
    where = f"the DMARC policy for {author}, at _dmarc.{policy.record.domain},"
    others = [d for d in signing if not is_aligned(author, d, policy, "adkim", look_up)]
    is_ours = is_aligned(author, envelope, policy, "aspf", look_up)
    if signing and len(others) == len(signing) and not is_ours:
        return wrong(
            name,
            f"neither the signature's domain ({others[0]}) nor the envelope's ({envelope}) is "
            f"aligned with {author}.",
            "sign with a key of the sender's domain: leave dkim.domain out",
        )
    if not signing and not is_ours:
        return wanting(
            name,
            f"the envelope's domain ({envelope}) is not aligned with {author}, and no key is "
            "configured.",
            "add [[dkim]], or have the relay sign for the sender's domain",
        )
    if policy.wanted == "none":
        return wanting(
            name, f"{where} asks for nothing (p=none).", "go on to p=quarantine, then p=reject"
        )
    if policy.record.tags.get("t", "n").lower() == "y":
        return wanting(name, f"{where} is only a test (t=y).", "take t=y out once reports are good")
    if not policy.record.tags.get("rua"):
        return wanting(
            name, f"{where} asks for no reports.", "add rua=mailto:… to learn of failures"
        )
    return well(name, f"{where} asks to {policy.wanted} what fails.")
