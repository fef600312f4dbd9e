"""Compiled edition + reader → envelope and bytes. Pure: no clock, no database, no socket."""

from newsletter.mail.letterhead import Letterhead, build_letterhead
from newsletter.mail.message import Addresser, Message, decode_message, header_names
from newsletter.mail.tokens import Keyring

__all__ = [
    "Addresser",
    "Keyring",
    "Letterhead",
    "Message",
    "build_letterhead",
    "decode_message",
    "header_names",
]
