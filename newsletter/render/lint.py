"""Judge a template's markup: every fault with file and line, not only the first.

mrml lets unknown tags vanish, ignores attributes that it does not know, and makes broken
tables of misplaced tags, all without a word. So what a template rendered to is read here
before it is compiled: its structure, its attributes and their values, and (in `loading`) what
it would make a mail client load.

The judge goes on after a fault and says each thing once: a loop over fifteen briefs does not
make fifteen faults, and an unclosed tag does not make its neighbours look wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from difflib import get_close_matches

from newsletter.errors import Problem
from newsletter.render.loading import (
    PICTURES,
    check_alt,
    check_comment,
    check_css,
    check_loading,
)
from newsletter.render.mjml_tags import (
    ANY_ATTRIBUTE,
    ATTRIBUTES,
    HOLD_HTML,
    PARENTS,
    REFUSED,
    VALUES,
    VALUES_OF_TAG,
)
from newsletter.render.origin import Place, Source
from newsletter.render.tokens import TOKEN, Tag, quote, read_tag

_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")
)
_DEEPEST = 200  # mail clients give up sooner, and the compiler's stack ends near 10,000
_STYLES = frozenset(("mj-style", "style"))
_DEFAULTS = frozenset(("mj-all", "mj-class"))
_TAGS_WITHOUT_CLASS = frozenset(
    tag for tag, parents in PARENTS.items() if parents & {"", "mjml", "mj-head"}
)


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    place: Place
    at: int


@dataclass(slots=True)
class _Classes:
    """The `mj-class` names of a document: where they are defined, and where they are used."""

    defined: set[str] = field(default_factory=set)
    used: list[tuple[str, Tag]] = field(default_factory=list)


def lint(source: Source, *, picture_hosts: Set[str] = frozenset()) -> tuple[Problem, ...]:
    """Find everything that is wrong with rendered MJML, in the order it stands there.

    `picture_hosts` are the hosts, in lower case, that pictures (`<mj-image>`, `<img>`) may
    be loaded from.
    """
    classes = _Classes()
    found = [*_walk(source, picture_hosts, classes), *_check_classes(classes)]
    return tuple(dict.fromkeys(found))


def _walk(source: Source, hosts: Set[str], classes: _Classes) -> Iterator[Problem]:
    """Follow the tags. What was closed by force may still be closed without a word."""
    stack: list[_Open] = []
    forgiven: list[str] = []
    end = 0
    for token in TOKEN.finditer(source.text):
        if "<" in source.text[end : token.start()]:
            before = source.place(max(0, end - 1))
            yield before.say("a bare < follows this tag", "write it as &lt;")
        end = token.end()
        if token["comment"] is not None:
            yield from check_comment(source, token.start("comment"), token["comment"], hosts)
            continue
        name = token["tag"].lower()
        place = source.place(token.start())
        if token["close"]:
            is_innermost = bool(stack) and stack[-1].tag == name
            is_open = is_innermost or any(opened.tag == name for opened in stack)
            if not is_open and name in forgiven:
                forgiven.remove(name)
                continue
            if not is_innermost:
                inner = [f", but <{o.tag}> of line {o.place.line} is open" for o in stack[-1:]]
                yield place.say("".join([f"</{name}> closes nothing", *inner]))
            while is_open and stack[-1].tag != name:
                forgiven.append(stack.pop().tag)
            if is_open:
                opened = stack.pop()
                if name in _STYLES:
                    css = source.text[opened.at : token.start()]
                    yield from check_css(css, opened.place, "a style")
            continue
        tag = read_tag(name, token["attributes"], place)
        parent = stack[-1].tag if stack else ""
        yield from _check_place(name, parent, place)
        yield from _check_tag(tag, parent, hosts)
        _note_classes(tag, parent, classes)
        if not token[0].endswith("/>") and name not in _VOID:
            stack.append(_Open(name, place, token.end()))
            if len(stack) == _DEEPEST:
                yield place.say(
                    f"<{name}> stands within {_DEEPEST - 1} other tags", "close those ahead of it"
                )
    if "<" in source.text[end:]:
        yield source.place(end).say("a < or a quote here is never closed", "write < as &lt;")
    for opened in reversed(stack):
        yield opened.place.say(f"<{opened.tag}> is never closed")


def _check_place(tag: str, parent: str, place: Place) -> Iterator[Problem]:
    if tag in REFUSED:
        yield place.say(f"<{tag}> is not for mail from here", REFUSED[tag])
        return
    is_known = parent in PARENTS or not parent.startswith("mj")  # else it was refused itself
    if not tag.startswith("mj"):
        if parent.startswith("mj") and is_known and parent not in HOLD_HTML:
            yield place.say(f"<{tag}> stands in <{parent}>", "put it into <mj-text> or <mj-raw>")
    elif tag not in PARENTS:
        near = get_close_matches(tag, PARENTS, 1)
        yield place.say(
            f"<{tag}> is no MJML tag",
            f"perhaps <{near[0]}> is meant" if near else "check its spelling",
        )
    elif parent == "mj-attributes" and tag not in {"mjml", "mj-head"}:
        return
    elif is_known and parent not in PARENTS[tag]:
        wanted = " or ".join(f"<{p}>" if p else "no other tag" for p in sorted(PARENTS[tag]))
        yield place.say(
            f"<{tag}> stands in {f'<{parent}>' if parent else 'no tag'}",
            f"it belongs into {wanted}",
        )


def _check_tag(tag: Tag, parent: str, hosts: Set[str]) -> Iterator[Problem]:
    if tag.name in REFUSED:
        return
    if tag.name in PARENTS:
        yield from _check_attributes(tag)
    yield from check_loading(tag, hosts)
    if tag.name in PICTURES and parent != "mj-attributes":
        yield from check_alt(tag)


# -- attributes ------------------------------------------------------------------------------------


def _check_attributes(tag: Tag) -> Iterator[Problem]:
    known = ANY_ATTRIBUTE if tag.name in _DEFAULTS else ATTRIBUTES.get(tag.name, frozenset())
    for n, (name, value) in enumerate(tag.attributes):
        if name in (earlier for earlier, _ in tag.attributes[:n]):
            yield tag.place.say(f"<{tag.name}> has {name} twice", "keep one of them")
        elif name in tag.unquoted or value is None:
            yield tag.place.say(f'<{tag.name}> has {name} without ""', f'write {name}="…"')
        elif (name == "mj-class" and tag.name not in _TAGS_WITHOUT_CLASS) or (
            name == "name" and tag.name == "mj-class"
        ):
            continue
        elif name not in known:
            near = get_close_matches(name.lower(), known, 1, cutoff=0.75)
            yield tag.place.say(
                f"<{tag.name}> has no attribute {name}",
                f"perhaps {near[0]} is meant" if near else "take it out, it would do nothing",
            )
        else:
            takes = VALUES_OF_TAG.get((tag.name, name)) or VALUES.get(name)
            if takes and not takes.takes(value):
                yield tag.place.say(
                    f'<{tag.name}> has {name}="{quote(value)}"',
                    f"it takes {takes.words}",
                )


def _note_classes(tag: Tag, parent: str, classes: _Classes) -> None:
    if tag.name == "mj-class" and parent == "mj-attributes":
        classes.defined.update((tag.get("name") or "").split())
    elif tag.name in PARENTS:
        classes.used += ((name, tag) for name in (tag.get("mj-class") or "").split())


def _check_classes(classes: _Classes) -> Iterator[Problem]:
    for name, tag in classes.used:
        if name not in classes.defined:
            near = get_close_matches(name, classes.defined, 1)
            yield tag.place.say(
                f'<{tag.name}> has mj-class="{name}", which is not defined',
                f"perhaps {near[0]} is meant"
                if near
                else f'define it with <mj-class name="{name}" … /> in <mj-attributes>',
            )
