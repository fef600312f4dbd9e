"""Styles into `style` attributes: the one place that knows premailer and its pitfalls.

With its defaults premailer drops the doctype (quirks mode), strips the `!important` that the
dark scheme needs, and fetches stylesheets; cssutils below it follows `@import` by itself and
logs every property that it does not know.
"""

from __future__ import annotations

import logging

import cssutils
import cssutils.util
from cssselect import SelectorError
from lxml.etree import LxmlError
from premailer.premailer import Premailer, PremailerError

from newsletter.render.standards import conform

_DOCTYPE = "<!doctype html>"
# MJML's own resets are for clients that read <style>; inlined they would be repeated on each
# cell and paragraph.
_RESETS = '<style type="text/css">\n#outlook a'
_RESETS_LEFT_ALONE = '<style type="text/css" data-premailer="ignore">\n#outlook a'


def _fetch_nothing(_url: str) -> None:
    """Stand in for cssutils' fetcher: a stylesheet that asks for another gets none."""


# cssutils has no setting for a parser that premailer makes; this is the name it looks up.
cssutils.util._defaultFetcher = _fetch_nothing  # noqa: SLF001 -- there is no public name


def inline_styles(html: str) -> str:
    """Write the rules of each `<style>` onto the elements that they match, and keep the blocks.

    Expects and gives back a document that begins with `<!doctype html>`. Raises `ValueError`
    with a sentence for styles that cannot be read.
    """
    body = conform(html).removeprefix(_DOCTYPE).replace(_RESETS, _RESETS_LEFT_ALONE, 1)
    try:
        inlined: str = Premailer(
            body,
            allow_network=False,
            cssutils_logging_level=logging.CRITICAL + 1,
            disable_basic_attributes=["align", "height", "valign", "width"],
            disable_validation=True,
            keep_style_tags=True,
            preserve_internal_links=True,
            remove_classes=False,
            strip_important=False,
        ).transform(pretty_print=False)
    except (SelectorError, LxmlError, PremailerError) as error:
        raise ValueError(f"a style cannot be read ({error})") from error
    return _DOCTYPE + inlined
