"""What tests of the audience start from."""

from __future__ import annotations

from newsletter.audience.pseudonyms import Pseudonyms

PSEUDONYMS = Pseudonyms([b"k" * 40])
