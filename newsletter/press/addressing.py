"""Step 5: a compiled edition and a reader → the reader's message."""

from __future__ import annotations

from datetime import datetime

from newsletter.audience.reader import Reader
from newsletter.delivery.signing import choose_signers
from newsletter.editions.lifecycle import RELEASED
from newsletter.editions.shelf import EditionRecord, load_compiled, load_letterhead
from newsletter.mail import Addresser, Letterhead, Message, build_letterhead
from newsletter.press import Press, Printed
from newsletter.render.compiled import CompiledEdition


def addresser(press: Press, edition_id: int) -> Addresser:
    """Give what makes any reader's copy of an approved edition, now or months later."""
    with press.database.reading() as connection:
        compiled = CompiledEdition.load(load_compiled(connection, edition_id))
        letterhead = Letterhead.from_document(load_letterhead(connection, edition_id))
    return build_addresser(press, compiled, letterhead)


def addresser_as_it_stands(press: Press, record: EditionRecord) -> Addresser:
    """Give what makes a copy of an edition that is rendered, approved or not yet."""
    if record.state in RELEASED:
        return addresser(press, record.id)
    with press.database.reading() as connection:
        compiled = CompiledEdition.load(load_compiled(connection, record.id))
    return build_addresser(press, compiled, letterhead_of(press, record, press.now()))


def sample_message(press: Press, printed: Printed, reader: Reader) -> Message:
    """Give the copy that a reader would get of an edition that is not approved yet."""
    letterhead = letterhead_of(press, printed.record, press.now())
    return build_addresser(press, printed.compiled, letterhead).address(reader)


def letterhead_of(press: Press, record: EditionRecord, dated_at: datetime) -> Letterhead:
    """Build what all messages of an edition have in common, as the settings are now."""
    return build_letterhead(
        press.settings.publication,
        edition_id=record.id,
        day=record.date,
        kind=record.kind,
        dated_at=dated_at,
        key_id=press.keyring.newest,
        dkim=tuple((signer.name, signer.fingerprint) for signer in press.signers),
    )


def build_addresser(
    press: Press, compiled: CompiledEdition, letterhead: Letterhead, *, subject_mark: str = ""
) -> Addresser:
    """Give what makes messages of a compiled edition; raises where one of its keys is gone."""
    signers = choose_signers(press.signers, letterhead.dkim)
    return Addresser(
        compiled, letterhead, press.keyring, signers=signers, subject_mark=subject_mark
    )
