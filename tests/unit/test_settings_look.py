"""The look: colours that can be read, fonts that are only fonts, a logo from where it may be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from newsletter.errors import ConfigurationError
from newsletter.settings import EditionSettings, Look, Settings, contrast, load_settings

BASE = """\
[publication]
sender = "Brief <brief@news.example>"
list_id = "daily.news.example"
url = "https://news.example"
"""
LOGO = """\
[look.logo]
url = "https://pictures.example/logo.png"
width = 220
height = 40
alt = "Morning Ledger"
"""
HOSTS = '[edition]\npicture_hosts = ["Pictures.example"]\n'


def load(folder: Path, text: str) -> Settings:
    (folder / "newsletter.toml").write_text(BASE + text)
    (folder / ".env").write_text(f"NEWSLETTER_SECRET_KEY={'k' * 43}\n")
    return load_settings(folder, environment=False)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    return str(caught.value).removeprefix(f"{folder}/")


def test_the_contrast_of_two_colours() -> None:
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == 21
    assert contrast("#123456", "#123456") == 1
    assert 4.47 < contrast("#777777", "#ffffff") < 4.5 < contrast("#767676", "#ffffff") < 4.55


def test_the_shipped_look_can_be_read() -> None:
    shipped = Look()
    assert Look.model_validate(shipped.model_dump()) == shipped  # defaults are not checked else


def test_a_look_of_ones_own(tmp_path: Path) -> None:
    look = load(
        tmp_path,
        '[look]\naccent = "#05A"\nserif = \'"Source Serif 4" , Charter,serif\'\n' + LOGO + HOSTS,
    ).look
    assert look.accent == "#0055aa"
    assert look.ink == "#1e1b17"
    assert look.serif == "'Source Serif 4',Charter,serif"
    assert look.logo is not None
    assert (look.logo.width, look.logo.url_dark, look.logo.replaces_name) == (220, None, False)


@pytest.mark.parametrize("scheme", ["", "_dark"])
@pytest.mark.parametrize("text", ["ink", "muted", "accent"])
@pytest.mark.parametrize("ground", ["ground", "tint"])
def test_each_text_must_stand_out_from_each_ground(text: str, ground: str, scheme: str) -> None:
    look = Look()
    same = getattr(look, ground + scheme)
    with pytest.raises(ValidationError, match=f"{text}{scheme} on (?:ground|tint){scheme} has"):
        Look.model_validate({text + scheme: same})
    with pytest.raises(ValidationError, match=rf" on {ground}{scheme} has a contrast of [1-4]\."):
        Look.model_validate({ground + scheme: getattr(look, text + scheme)})


def test_the_sentence_names_both_fields_and_the_ratio(tmp_path: Path) -> None:
    assert refusal(tmp_path, '[look]\nground = "#ffffff"\ntint = "#fff"\nmuted = "#777777"\n') == (
        "newsletter.toml, look: muted on ground has a contrast of 4.47, and text needs 4.5; "
        "choose colours further apart."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[look]\naccent = "red"\n', 'look.accent: must be a colour such as "#9a2617"'),
        ('[look]\naccent = "#12345"\n', "look.accent: must be a colour"),
        ('[look]\naccent = "#９a2617"\n', "look.accent: must be a colour"),
        ('[look]\nink = "#000;}"\n', "look.ink: must be a colour"),
        ('[look]\naccnt = "#000"\n', "look.accnt: is not a setting"),
        ('[look]\nserif = "Georgia"\n', "look.serif: must end with one of serif, sans-serif"),
        ("[look]\nsans = \"Arial;} body{display:none\"\n", "look.sans: must be names of fonts"),
        ('[look]\nsans = "url(//a.example/x), serif"\n', "look.sans: must be names of fonts"),
        ('[look]\nsans = ""\n', "look.sans: must be names of fonts"),
        ("[look]\nsans = \"'Arial, serif\"\n", "look.sans: must be names of fonts"),
        ('[look]\nsans = "Ärial, serif"\n', "look.sans: must be names of fonts"),
        (LOGO, 'look: the logo is on pictures.example; add "pictures.example" to edition.picture'),
        (LOGO + 'url_dark = "https://b.example/x.png"\n' + HOSTS, "look: the logo is on b.example"),
        (LOGO.replace("https", "http") + HOSTS, "look.logo.url: must be such as"),
        (LOGO.replace("logo.png", "logo.svg") + HOSTS, "look.logo.url: leads to an SVG"),
        (LOGO.replace("Morning Ledger", "logo.png") + HOSTS, "look.logo.alt: is a file name"),
        (LOGO.replace("Morning Ledger", " ") + HOSTS, "look.logo.alt: is missing"),
        (LOGO.replace("220", "0") + HOSTS, "look.logo.width: must be greater than or equal to 1"),
        ('[edition]\npicture_hosts = ["https://a.example"]\n', "must be names of hosts such as"),
        ('[edition]\npicture_hosts = ["*.example"]\n', "must be names of hosts such as"),
        ('[vocabulary]\nsponsor_label = ""\n', "vocabulary.sponsor_label: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_field(tmp_path: Path, text: str, sentence: str) -> None:
    said = refusal(tmp_path, text)
    assert sentence in said
    assert "\n" not in said


def test_hosts_are_read_from_a_list_or_a_line() -> None:
    for said in (["a.example", "B.example"], "a.example, b.example,"):
        rules = EditionSettings.model_validate({"picture_hosts": said})
        assert rules.picture_hosts == ("a.example", "b.example")


@given(st.text(st.sampled_from("aZ9 -,'\";:{}()<>/\\@&#\n\t*é"), max_size=40))
def test_no_font_can_say_anything_but_fonts(stack: str) -> None:
    try:
        fonts = Look.model_validate({"serif": stack + ",serif"}).serif
    except ValidationError:
        return
    assert re.fullmatch(r"(?:(?:-?[A-Za-z0-9-]+|'-?[A-Za-z0-9 -]+'),)+serif", fonts)
    assert Look.model_validate({"serif": fonts}).serif == fonts


def test_a_long_stack_is_refused_quickly() -> None:
    for stack in ("a" * 100_000 + "!", "a" * 190 + "!", "a-" * 95 + "!"):
        with pytest.raises(ValidationError):
            Look.model_validate({"sans": stack})


def test_the_look_in_the_readme_loads(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (example,) = re.findall(r"```toml\n(\[edition\]\n[^`]*\[look\].*?)```", readme, re.DOTALL)
    look = load(tmp_path, example).look
    assert look.logo is not None
    assert look.logo.replaces_name
