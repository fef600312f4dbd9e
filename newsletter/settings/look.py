"""What the mail looks like: colours, fonts, logo."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from newsletter.settings.values import Line, PictureUrl, Section, check_alt

_FONT = r"-?[A-Za-z][A-Za-z0-9]*(?:[ -][A-Za-z0-9]+)*"
_GENERIC_FONTS = ("serif", "sans-serif", "monospace", "system-ui")
_LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA, for text


def _check_colour(value: str) -> str:
    """Write a colour as #rrggbb, which every mail client takes."""
    if not re.fullmatch(r"#(?:[0-9A-Fa-f]{3}){1,2}", value, re.ASCII):
        raise ValueError('must be a colour such as "#9a2617"')
    digits = value[1:].lower()
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


def contrast(one: str, other: str) -> float:
    """Measure the contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _check_fonts(value: str) -> str:
    """Write a font stack in one way, each name in quotes that needs them.

    It goes into style sheets as it is, so a name is letters, digits, single blanks and hyphens.
    """
    names = [name.strip() for name in value.split(",")]
    bare = [name[1:-1] if name[:1] == name[-1:] and name[:1] in "'\"" else name for name in names]
    if not all(re.fullmatch(_FONT, name, re.ASCII) for name in bare):
        raise ValueError("must be names of fonts such as \"Georgia, 'Times New Roman', serif\"")
    if bare[-1].lower() not in _GENERIC_FONTS:
        raise ValueError(f"must end with one of {', '.join(_GENERIC_FONTS)}, which everybody has")
    return ",".join(f"'{name}'" if " " in name else name for name in bare)


Colour = Annotated[str, AfterValidator(_check_colour)]
Fonts = Annotated[str, Field(max_length=200), AfterValidator(_check_fonts)]


class LogoSettings(Section):
    """The publication's logo, at the head of the mail."""

    url: PictureUrl = Field(description="Its picture, on one of edition.picture_hosts.")
    url_dark: PictureUrl | None = Field(
        default=None, description="Its twin in the dark; default the same."
    )
    width: int = Field(
        ge=1, le=560, description="Its width in the mail, in pixels; the column has 560."
    )
    height: int = Field(ge=1, le=1_000, description="Its height in the mail, in pixels.")
    alt: Annotated[Line, AfterValidator(check_alt)] = Field(
        description="What it says, for who does not see it."
    )
    replaces_name: bool = Field(
        default=False, description="Whether it shows the name itself, so that the text can go."
    )


class Look(Section):
    """Colours and fonts of the mail. What is read must stand out from what it stands on."""

    accent: Colour = Field(default="#9a2617", description="Links and the masthead's rule.")
    accent_dark: Colour = Field(default="#f09a84", description="Its twin in the dark.")
    ground: Colour = Field(default="#fdfcf9", description="Ground of the mail.")
    ground_dark: Colour = Field(default="#161513", description="Its twin in the dark.")
    tint: Colour = Field(default="#f4f1e9", description="Ground of analysis.")
    tint_dark: Colour = Field(default="#211f1b", description="Its twin in the dark.")
    ink: Colour = Field(default="#1e1b17", description="Text.")
    ink_dark: Colour = Field(default="#ece7dd", description="Its twin in the dark.")
    muted: Colour = Field(default="#625b50", description="Small print.")
    muted_dark: Colour = Field(default="#ada596", description="Its twin in the dark.")
    hairline: Colour = Field(default="#d9d3c5", description="Rules between stories.")
    hairline_dark: Colour = Field(default="#413d36", description="Its twin in the dark.")
    serif: Fonts = Field(
        default="Georgia,'Times New Roman',serif",
        description="Fonts of headlines and summaries; nothing is loaded, readers have them.",
    )
    sans: Fonts = Field(
        default="-apple-system,'Segoe UI',Roboto,Arial,sans-serif",
        description="Fonts of everything else.",
    )
    logo: LogoSettings | None = Field(default=None, description="A table of its own.")

    @model_validator(mode="after")
    def _is_readable(self) -> Look:
        for scheme in ("", "_dark"):
            for text in ("ink", "muted", "accent"):
                for ground in ("ground", "tint"):
                    names = text + scheme, ground + scheme
                    ratio = contrast(*(getattr(self, name) for name in names))
                    if ratio < _LEAST_CONTRAST:
                        # Rounded down: 4.49 is not 4.5.
                        raise ValueError(
                            f"{names[0]} on {names[1]} has a contrast of {int(ratio * 100) / 100}, "
                            f"and text needs {_LEAST_CONTRAST}; choose colours further apart"
                        )
        return self


SHIPPED_LOOK = Look()
"""What a mail looks like where nobody said otherwise."""
