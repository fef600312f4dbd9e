"""What each route of the console asks of who follows it. A route that is not here is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Role = Literal["viewer", "editor", "sender", "admin"]
"""What a member of the team may do; each may also do what those before it may."""
Need = Role | Literal["anyone"]

ROLES: tuple[Role, ...] = get_args(Role)

MEANING: Mapping[Role, str] = {
    "viewer": "sees everything",
    "editor": "also mends, approves and rejects briefs, orders the edition, and makes it anew",
    "sender": "also approves, sends, tests, pauses, resumes and cancels editions, and settles",
    "admin": "also looks after the team",
}

NEEDS: Mapping[tuple[str, str], Need] = {
    ("GET", "/style.css"): "anyone",
    ("GET", "/live.js"): "anyone",
    ("GET", "/passkeys.js"): "anyone",
    ("GET", "/icon.svg"): "anyone",
    ("GET", "/login"): "anyone",
    ("POST", "/login"): "anyone",
    ("GET", "/login/passkey"): "anyone",
    ("POST", "/login/passkey"): "anyone",
    ("GET", "/sign-on"): "anyone",
    ("GET", "/sign-on/back"): "anyone",
    ("GET", "/setup/{token}"): "anyone",
    ("POST", "/setup/{token}"): "anyone",
    ("GET", "/"): "viewer",
    ("POST", "/gather"): "editor",
    ("GET", "/briefs/{brief_id}"): "viewer",
    ("GET", "/briefs/{brief_id}/edit"): "editor",
    ("POST", "/briefs/{brief_id}/edit"): "editor",
    ("POST", "/briefs/{brief_id}/story"): "editor",
    ("POST", "/briefs/{brief_id}/judge"): "editor",
    ("POST", "/briefs/{brief_id}/move"): "editor",
    ("GET", "/editions"): "viewer",
    ("GET", "/editions/{name}"): "viewer",
    ("GET", "/editions/{name}/preview"): "viewer",
    ("GET", "/editions/{name}/copy"): "viewer",
    ("GET", "/editions/{name}/events"): "viewer",
    ("GET", "/editions/{name}/preflight"): "viewer",
    ("POST", "/editions/{name}/check"): "editor",
    ("GET", "/editions/{name}/send"): "sender",
    ("POST", "/editions/{name}/send"): "sender",
    ("POST", "/editions/{name}/plan"): "sender",
    ("POST", "/editions/{name}/review"): "sender",
    ("POST", "/editions/{name}/confirm"): "sender",
    ("POST", "/editions/{name}/test"): "sender",
    ("POST", "/editions/{name}/pause"): "sender",
    ("POST", "/editions/{name}/resume"): "sender",
    ("GET", "/editions/{name}/cancel"): "sender",
    ("POST", "/editions/{name}/cancel"): "sender",
    ("POST", "/editions/{name}/settle"): "sender",
    ("POST", "/editions/{name}/retry"): "sender",
    ("POST", "/editions/{name}/bounces"): "sender",
    ("GET", "/readers"): "viewer",
    ("GET", "/readers/{reader_id}"): "viewer",
    ("GET", "/sources"): "viewer",
    ("GET", "/settings"): "viewer",
    ("GET", "/audit"): "viewer",
    ("POST", "/logout"): "viewer",
    ("GET", "/you"): "viewer",
    ("POST", "/you/password"): "viewer",
    ("POST", "/you/codes"): "viewer",
    ("POST", "/you/passkeys"): "viewer",
    ("POST", "/you/passkeys/keep"): "viewer",
    ("POST", "/you/passkeys/remove"): "viewer",
    ("GET", "/team"): "admin",
    ("POST", "/team"): "admin",
    ("POST", "/team/{member_id}/role"): "admin",
    ("POST", "/team/{member_id}/disable"): "admin",
    ("POST", "/team/{member_id}/reset"): "admin",
    ("POST", "/keys"): "admin",
    ("POST", "/keys/{key_id}/end"): "admin",
}


def may(role: Role, need: Need) -> bool:
    """Tell whether a role is enough."""
    return need == "anyone" or ROLES.index(role) >= ROLES.index(need)
