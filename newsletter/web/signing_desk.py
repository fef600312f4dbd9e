"""What becomes of what forms and programs say about subscribing; `signing_up` has the addresses.

What is asked is only written down (`audience.signing_up`): every address that can be mailed gets
the same answer after the same work, whatever is known of it. What the answer may depend on is
what was typed, when, and from which network. No session and no cookie: so a POST from another
site can do no more than one from ours, which is what anybody can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from limits import parse_many
from starlette.requests import Request
from starlette.responses import Response

from newsletter.audience.address import Address, parse_address
from newsletter.audience.signing_up import (
    CONFIRM_WITHIN,
    Ask,
    Confirmed,
    SignUp,
    Way,
    Wording,
    confirm,
    find_sign_up,
    name_counted,
    refuse,
    store_ask,
    store_wordings,
    write_version,
)
from newsletter.errors import AudienceError, ConfigurationError
from newsletter.mail.tokens import Claim, Keyring, Purpose, TokenSigner
from newsletter.press import Press
from newsletter.press.signing_up import derive_secret
from newsletter.render.languages import SOURCE, match_language, read_catalogues
from newsletter.settings import Settings
from newsletter.web.leaving import mask
from newsletter.web.pages import Pages, read_claim
from newsletter.web.visitor import Visitors, choose_language

HONEYPOT = "website"
"""A field that people do not see, and leave empty."""
FORM_LASTS = timedelta(days=1)
"""How long a form may lie open before it is shown anew."""

Fault = Literal["", "address", "domain", "again", "network"]


class SigningDesk:
    """Takes what forms and programs say."""

    def __init__(self, press: Press, pages: Pages) -> None:
        self._press, self._pages = press, pages
        settings = press.settings
        self._list_id = settings.publication.list_id
        self._visitors = Visitors(settings)
        self._per_network = tuple(parse_many(settings.signup.per_network))
        self._secret = derive_secret(press)
        self._refused = read_refused_domains(settings)
        self._languages = (SOURCE, *read_catalogues(press.templates.directories, {}).by_code)
        own = match_language(settings.publication.language, self._languages) or SOURCE
        self._own_language = own
        self._wordings = {
            language: Wording(language=language, text=self._write_wording(language))
            for language in self._languages
        }
        # The same for everybody, and so written once: a flood of forms costs little.
        self._subscribe_url = f"{pages.root}/subscribe"
        self._asked = lru_cache(lambda language: pages.show("asked.html.j2", language=language))
        self._crowded = lru_cache(
            lambda language: pages.show(
                "crowded.html.j2",
                language=language,
                status=HTTPStatus.TOO_MANY_REQUESTS,
                subscribe_url=self._subscribe_url,
            )
        )
        store_wordings(press.database, tuple(self._wordings.values()), press.now())

    # -- asking --------------------------------------------------------------------------------

    def choose_language(self, request: Request, asked: str) -> str:
        """Choose the language of a page; "" is the publication's."""
        accepted = request.headers.get("accept-language", "")
        chosen = choose_language(asked, accepted, self._languages)
        return "" if chosen == self._own_language else chosen

    def match_language(self, asked: str) -> str:
        """Give the language that a program asks for; "" is the publication's."""
        chosen = choose_language(asked, "", self._languages)
        return "" if chosen == self._own_language else chosen

    def show_form(
        self,
        filled: Mapping[str, str],
        language: str,
        *,
        fault: Fault = "",
        status: int = HTTPStatus.OK,
    ) -> Response:
        """Show the form, filled in with what was said before."""
        return self._pages.show(
            "subscribe.html.j2",
            language=language,
            status=status,
            fault=fault,
            wording=self._wording(language).text,
            privacy_url=self._press.settings.signup.privacy_url,
            subscribe_url=self._subscribe_url,
            email=filled.get("email", "")[:320],
            source=filled.get("source", ""),
            chosen=language or self._own_language,
            stamp=self._stamp(language),
            honeypot=HONEYPOT,
        )

    def take_form(self, request: Request, form: Mapping[str, str]) -> Response:
        """Take what a form sent, ours or another site's."""
        language = self.choose_language(request, form.get("language", ""))
        stamp = read_claim(self._press, form.get("stamp", ""), Purpose.FORM)
        named = [form.get("source", "")]
        if stamp is None:  # another site's form: what its reader's browser says of it
            named += [request.headers.get(name, "") for name in ("referer", "origin")]
        source = next(filter(None, map(clean_source, named)), "")
        filled = {"email": form.get("email", ""), "source": source}
        if form.get(HONEYPOT):
            return self._asked(language)
        if form.get("stamp") and not (stamp and self._is_in_time(stamp)):
            return self.show_form(filled, language, fault="again")
        fault = self.take(
            request,
            filled["email"],
            "page" if stamp else "form",
            language,
            filled["source"],
            write_version(stamp.subscriber_id) if stamp else "",
        )
        if fault == "network":
            return self._crowded(language)
        if fault:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            return self.show_form(filled, language, fault=fault, status=status)
        return self._asked(language)

    def take(
        self,
        request: Request,
        email: str,
        way: Way,
        language: str,
        source: str,
        wording: str,
    ) -> Fault:
        """Write down that an address was asked for; the same work whatever is known of it."""
        try:
            address: Address = parse_address(email)
        except AudienceError:
            return "address"
        if is_refused(address.key.rpartition("@")[2], self._refused):
            return "domain"
        ask = Ask(
            address=address,
            way=way,
            language=language,
            source=source,
            visit=self._visitors.read_visit(request),
            wording=wording,
        )
        network = self._visitors.read_network(request)
        with self._press.database.writing() as connection:
            is_taken = store_ask(
                connection,
                ask,
                self._press.now(),
                limits=self._per_network,
                key=name_counted(self._secret, "network", network),
            )
        return "" if is_taken else "network"

    def _is_in_time(self, stamp: Claim) -> bool:
        """Tell whether a person could have filled a form in since it was shown."""
        now, least = self._press.now(), self._press.settings.signup.least_time
        is_too_soon = stamp.is_fresh(now, least - timedelta.resolution)
        return stamp.is_fresh(now, FORM_LASTS) and not is_too_soon

    def _stamp(self, language: str) -> str:
        """Sign when a form was shown, and what it asked consent to."""
        keyring: Keyring = self._press.keyring
        signer = TokenSigner(
            keyring,
            keyring.newest,
            Purpose.FORM,
            list_id=self._list_id,
            edition_id=int(self._press.now().timestamp()),
        )
        return signer.sign(self._wording(language).number)

    def _wording(self, language: str) -> Wording:
        return self._wordings[match_language(language, self._languages) or self._own_language]

    def _write_wording(self, language: str) -> str:
        code = "" if language == self._own_language else language
        return " ".join(self._pages.write("consent.txt.j2", language=code).split())

    # -- confirming ----------------------------------------------------------------------------

    def _find(self, token: str) -> tuple[SignUp, Claim] | None:
        """Find the sign-up that a link names."""
        claim = read_claim(self._press, token, Purpose.CONFIRM)
        sign_up = find_sign_up(self._press.database, claim.subscriber_id) if claim else None
        return (sign_up, claim) if claim and sign_up else None

    def _show_question(self, token: str, sign_up: SignUp, claim: Claim) -> Response:
        """Ask whether it was them."""
        if sign_up.is_open and not claim.is_fresh(self._press.now(), CONFIRM_WITHIN):
            return self._show_over(sign_up.language)
        return self._pages.show(
            "confirm.html.j2",
            language=sign_up.language,
            address=mask(sign_up.email),
            wording=self._wording(sign_up.language).text,
            stamp=self._stamp(sign_up.language),
            confirm_url=f"{self._pages.root}/c/{token}",
            never_url=f"{self._pages.root}/c/{token}/never" if sign_up.is_open else "",
        )

    def confirm(self, token: str, request: Request, form: Mapping[str, str]) -> Response:
        """Take the button of the page behind the link."""
        found = self._find(token)
        if found is None:
            return self._pages.show_damaged()
        sign_up, claim = found
        stamp = read_claim(self._press, form.get("stamp", ""), Purpose.FORM)
        wording = self._wording(sign_up.language).version
        now = self._press.now()
        confirmed = confirm(
            self._press.database,
            sign_up.id,
            self._visitors.read_visit(request),
            write_version(stamp.subscriber_id) if stamp else wording,
            in_time=claim.is_fresh(now, CONFIRM_WITHIN),
            now=now,
            pseudonyms=self._press.pseudonyms,
        )
        if confirmed.outcome == "unknown":
            return self._pages.show_damaged()
        if confirmed.outcome == "over":
            return self._show_over(sign_up.language)
        return self._show_confirmed(confirmed, claim)

    def refuse(self, token: str) -> Response:
        """Take the other button: it was somebody else."""
        found = self._find(token)
        if found is None or not refuse(self._press.database, found[0].id, now=self._press.now()):
            return self._pages.show_damaged()
        return self._pages.show("never.html.j2", language=found[0].language)

    def look(self, token: str) -> Response:
        """Answer whoever follows the link of the mail."""
        found = self._find(token)
        return self._show_question(token, *found) if found else self._pages.show_damaged()

    def _show_confirmed(self, confirmed: Confirmed, claim: Claim) -> Response:
        """Say so, and offer the choices to who comes by a link that is not old."""
        is_old = not claim.is_fresh(self._press.now(), CONFIRM_WITHIN)

        def link(path: str, purpose: Purpose) -> str:
            if is_old:
                return ""
            keyring = self._press.keyring
            signer = TokenSigner(
                keyring, keyring.newest, purpose, list_id=self._list_id, edition_id=0
            )
            return f"{self._pages.root}/{path}/{signer.sign(confirmed.subscriber_id)}"

        return self._pages.show(
            "confirmed.html.j2",
            language=confirmed.language,
            address=mask(confirmed.email),
            preferences_url=link("p", Purpose.PREFERENCES),
            leave_url=link("u", Purpose.UNSUBSCRIBE),
        )

    def _show_over(self, language: str) -> Response:
        return self._pages.show(
            "over.html.j2", language=language, subscribe_url=self._subscribe_url
        )


def read_refused_domains(settings: Settings) -> frozenset[str]:
    """Read the domains whose addresses are not taken; raises `ConfigurationError`."""
    refused = set(settings.signup.refused_domains)
    if name := settings.signup.refused_domains_file:
        file: Path = settings.path(name)
        try:
            lines = file.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(
                "cannot be read",
                file=file,
                field="signup.refused_domains_file",
                mend="save it there as UTF-8, one domain a line",
            ) from None
        stripped = (line.partition("#")[0].strip().strip(".").lower() for line in lines)
        refused |= set(filter(None, stripped))
    return frozenset(refused)


def is_refused(domain: str, refused: frozenset[str]) -> bool:
    """Tell whether a domain, or one that it is below, is refused. Pure."""
    labels = domain.split(".")
    return any(".".join(labels[first:]) in refused for first in range(len(labels)))


def clean_source(url: str) -> str:
    """Keep of an address which page it is: what follows may name its reader. Pure."""
    try:
        parts = urlsplit(url.strip()[:2_000])
        host, port = parts.hostname, f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not host:
        return ""
    path = "".join(c for c in parts.path if c.isprintable() and c != "@")
    return f"{parts.scheme}://{host}{port}{path}"[:300]
