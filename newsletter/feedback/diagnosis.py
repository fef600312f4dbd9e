"""A mail server's answer → whether the address is dead, or only this copy did not arrive. Pure.

The code alone is not enough: "5.1.1" stands before "blocked", "5.2.1" before "over quota", and
"5.7.1" before "user unknown". So the words overrule it, in both directions, and of the words
those that speak of anything but the address overrule the rest. Whatever stays in doubt is about
the copy: taking a living reader for dead costs a reader, the other way round costs some mail.
"""

from __future__ import annotations

import itertools
import re

DEAD_CODES = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
"""RFC 3463: bad mailbox, domain or syntax, moved, no such recipient, disabled."""
_MAX_CHARACTERS = 2_000
_MAX_LINES = 8
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_CODE = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_REPLY = re.compile(r"(?<![\d.-])([45]\d)\d(?:[ -]|$)")
_NOT_THE_ADDRESS = frozenset({"40", "42", "43", "45", "47", "52", "53"})
"""How replies begin that are temporary, or about the host or who logs in (RFC 5321, RFC 4954)."""
_NAMES = re.compile(
    r"""
    https?://\S+ | <[^<>\s]*> | [^\s<>"'(),;:]+@[^\s<>"'(),;]+
    | (?<![\w.])[a-z0-9-]+ (?:\.[a-z0-9-]+)* \.[a-z]{2,} (?![\w.]*\w)  # lower-case host names
    """,
    re.VERBOSE,
)
"""Names of hosts and people, whose parts say nothing: policy@, mx.spamfilter.example."""


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{phrase})" for phrase in phrases))


_ALIVE = _any(
    # what the message is, or seems to be
    r"spam|\bfilter|\bjunk|\bbulk\b|virus|malware|phish|unsolicited|suspicious|\bcontent|\battachment",
    r"polic(?:y|ies)|polít?ica|richtlinie|prohibi|complain|\babus",
    r"\bblock|black ?-?list|deny ?-?list|white ?-?list|\b[rd]n?s?bl\b|\blisted\b|reputation",
    r"gesperrt|bloque|blocca|заблокирован|\bsenders?\b|mail from|envelope.from|return.path",
    r"from address|\bclient\b|\bhelo\b|\behlo\b|\bptr\b|reverse|\bip\b|\brdns\b|\bspf\b|\bdkim\b",
    r"\bdmarc\b|authenti|authoriz|authoris|\bauth\b|\btls\b|certificat|encrypt|\bcredential",
    r"relay(?:ing)? (?:access )?(?:is )?(?:denied|not|prohibited|refused)|\brelaying\b",
    r"(?:unable|not (?:allowed|permitted)|cannot|can't) to? ?relay|access (?:is )?denied",
    r"permission|not (?:allowed|permitted)|restrict|moderat|members? (?:only|of)|challenge",
    r"only (?:accept|take)s?\b|quarantin|\bverif(?:y|ication) failed|read.only",
    r"\bcall(?:back|out)\b|migrat",
    # room, size and rate
    r"\bquota|\bfull\b|\bvoll\b|\bstorage|\bspace\b(?! (?:in|before|after))|\bdisk|over ?limit",
    r"\blimit|exceed|too (?:many|much|fast|often|large|big|long)|\brate\b|throttl|message size",
    r"\bpiena\b|\bllen[oa]\b|\bcheia\b|\blotad[ao]\b|\bpleine?\b|переполнен|превышен|満|已满",
    r"speicherplatz|überschritten|dépass|superad|superat|excedid",
    # weather
    r"grey ?-?list|gray ?-?list|later\b|temporar|maintenance|vorübergehend|temporane|временн"
    r"|timed? ?-?out",
    r"\bconnect|expired|deferred|unreachable|not reachable|servfail|lookup fail|name service error",
    r"dns (?:server )?(?:fail|time)|try again|\bhops?\b|\bloop|suspended|\bbusy\b|overload",
    r"system (?:error|not)|internal error|configuration error|local error|out of memory",
)
"""What speaks of the message, its sender, room, rate or the weather."""

_BESIDE = _any(
    # the message and its parts
    r"\bheader|message-?id|\bfrom:|reply-to|user.agent|\bmime\b|\battach|\bformat|\bscam",
    r"\burl\b",
    # whoever sends
    r"unsubscribe|\bbounces?\b|originat|return address|may (?:not )?send|\bsending\b"
    r"|\bthis relay\b",
    r"\byou are not\b|\byour (?:account|domain|server|host|network|mail ?box|user|address)",
    # whom a reader lets in, and what holds a reader back
    r"\blist\b|approved|\bcontacts\b|\boutside\b|\binternal\b|closed to|open to|\block(?:ed|out)\b",
    r"billing|unpaid|overdue|payment|\bfees?\b|paus|holiday|vacation|\baway\b|\bdelayed\b",
    r"\bresolv(?:e|ed|ing)\b|back-?end|i/o error|not possible|\bdown\b",
    r"frozen|unable to verify|unknown error|\bat (?:this|the) (?:time|moment)\b",
)
"""Words that stand in any letter, and so mark no answer; beside others they raise doubts."""

_WHO = (
    r"(?:user|user ?name|recipient|mail ?-?box|in-?box|account|address|alias|addressee|customer"
    r"|destination|e-?mail|local.?part|person|subscriber)(?:s|es)?"
)
_GONE = (
    r"(?:unknown|not (?:be )?(?:known|found|recognized|recognised|listed|located|valid|exist"
    r"|registered|active)|(?:does|do|did)(?:n.?t| not) (?:seem to )?exist|non-?existent|invalid"
    r"|illegal|inactive|disabled|deactivated|discontinued|terminated|closed|deleted|removed"
    r"|cancell?ed|(?:could|was|can)(?:n.?t) (?:be )?found"
    r"|no longer (?:exists?|valid|available|active|in use|with|here|on))"
)
_DEAD = _any(
    rf"\b(?:unknown|invalid|no such|non-?exist[ae]nt|unrecogni[sz]ed|inactive|disabled|bad"
    rf"|incorrect|deactivated|illegal|no|not a valid|not a known|not a local|unrouteable)"
    rf"(?: or \w+)? (?:\w+ )?{_WHO}\b",
    rf"\b{_WHO}\b[^.;]{{0,40}}?\b{_GONE}\b",
    r"\bdomain (?:name )?(?:does not|doesn.t) exist\b|we do not know this \w+",
    r"\b(?:recipient|destination) domain [^.;]{0,30}?\bnot (?:found|exist)",
    r"\bno such (?:person|one)\b|\bnot our customer\b|\bno \w+ (?:here )?by that name\b",
    rf"\b(?:cannot|can't|could not|couldn't|unable to) find (?:the |a |any )?{_WHO}\b",
    r"\b(?:doesn.t|does not|do not|don.t) have an? [^.;]{0,40}?\baccount\b",
    r"\b(?:user|recipient|account) (?:has )?(?:moved|left)\b|\bhas moved\b|\bnxdomain\b",
    r"recip(?:ient)?notfound|nosuchuser|user_?unknown|unknown_?user|mailbox_?not_?found",
    r"recipient_?unknown",
    r"\b(?:was ?n.?t|could ?n.?t be) found at\b|mailbox unavailable \(s2017062302\)",
    r"(?:benutzer|empfänger|adresse|postfach|konto|teilnehmer)\b[^.;]{0,30}?\b(?:unbekannt"
    r"|existiert nicht|nicht (?:gefunden|bekannt|vorhanden)|ungültig|deaktiviert)",
    r"(?:unbekannter|ungültiger) (?:benutzer|empfänger)",
    r"(?:utilisateur|destinataire|adresse|compte|boîte)\b[^.;]{0,30}?\b(?:inconnue?|invalide"
    r"|inexistante?|introuvable|désactivée?|n.existe (?:pas|plus))",
    r"(?:usuario|cuenta|buz[oó]n|destinatario|direcci[oó]n)\b[^.;]{0,30}?\b(?:desconocid[oa]"
    r"|no existe|inexistente|inv[aá]lid[oa]|desactivad[oa]|no encontrad[oa])",
    r"no existe (?:el|la|ese|esa) ",
    r"(?:utente|casella|destinatario|indirizzo|account)\b[^.;]{0,30}?\b(?:sconosciut[oa]"
    r"|inesistente|non (?:esiste|trovat[oa]|valid[oa])|disabilitat[oa])",
    r"(?:usu[aá]rio|conta|caixa|destinat[aá]rio|endereço)\b[^.;]{0,30}?\b(?:desconhecid[oa]"
    r"|n[aã]o (?:existe|encontrad[oa])|inexistente|inv[aá]lid[oa]|desativad[oa])",
    r"(?:onbekende|ongeldige) (?:gebruiker|ontvanger)|(?:gebruiker|adres) (?:is )?onbekend",
    r"nieznany (?:użytkownik|adresat)|(?:użytkownik|konto) nie istnieje|neznámý uživatel",
    r"нет такого пользователя|пользователь не (?:найден|существует)|ящик не (?:найден|существует)",
    r"(?:用户|收件人|邮箱|帐号)[^。;]{0,10}(?:不存在|未找到)|(?:ユーザー?|宛先|アドレス)[^。;]{0,20}存在しま?せ?",
)
"""What says that nobody is there, in the languages whose servers answer in their own."""


def find_code(status: str, words: str) -> str:
    """Give the RFC 3463 code: the Status field's, or the words' where that says nothing; or ""."""
    told = _STATUS.search(status)
    code = told[1] if told else ""
    if code[1:] in ("", ".0.0") and (found := _CODE.search(words[:_MAX_CHARACTERS])):
        return found[1]
    return code


def is_dead(status: str, words: str) -> bool:
    """Tell whether an answer says, for good, that the address itself does not take mail."""
    code = find_code(status, words)
    text = _NAMES.sub(" ", words[:_MAX_CHARACTERS])
    reply = _REPLY.search(text)
    if code.startswith(("2", "4")) or (reply and reply[1] in _NOT_THE_ADDRESS):
        return False
    text = re.sub(r"[245]\d\d[ -](?=[245]\.\d)|\b[245]\.\d+\.\d+\b", " ", text)  # 550-5.1.1
    text = " ".join(text.replace("’", "'").lower().split())
    if _ALIVE.search(text) or _BESIDE.search(text):
        return False
    return code in DEAD_CODES or _DEAD.search(text) is not None


def find_answer(text: str) -> str:
    """Give the sentences with the server's answer out of a letter about a failure; or ""."""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if _is_answer(line)), len(lines))
    answer = itertools.takewhile(str.strip, lines[start : start + _MAX_LINES])
    return " ".join(line.strip() for line in answer)


def _is_answer(line: str) -> bool:
    line = _NAMES.sub(" ", line[:_MAX_CHARACTERS])
    words = " ".join(line.lower().split())
    return any(
        pattern.search(text)
        for pattern, text in ((_CODE, line), (_REPLY, line), (_ALIVE, words), (_DEAD, words))
    )
