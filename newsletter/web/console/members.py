"""Who is on the team: added with a link that sets up, disabled, given a role or a new link.

Every function that changes something works within the caller's writing transaction and notes it
in the audit. Nobody is removed: what they did keeps their name. A role that changes, a new link
and a disabling end all of their sessions; the latter two take their passkeys away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from newsletter.audience.address import parse_address
from newsletter.errors import AudienceError, InputError, RefusedError
from newsletter.settings import Settings
from newsletter.settings.console import Console
from newsletter.store.audit import COMMAND_LINE, Actor, note
from newsletter.store.tables import members, passkeys, recovery_codes, sessions
from newsletter.web.console.proofs import (
    Vault,
    check_password,
    find_step,
    hash_password,
    hash_recovery_code,
    hash_token,
    is_password,
    make_recovery_codes,
    make_token,
)
from newsletter.web.console.roles import ROLES, Role, may

SETUP_WITHIN = timedelta(days=2)
"""How long a link that sets up is good for."""
_NAME_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody of the team; secrets only as they are kept, and never shown."""

    id: int
    name: str
    email: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None
    setup_until: datetime | None
    has_password: bool
    has_identity: bool
    """Whether a provider that members sign on by knows them."""
    is_mapped: bool
    """Whether their role is the provider's to say."""
    by_command: bool
    """Whether their link was made on the command line."""

    @property
    def state(self) -> str:
        """Whether they can log in: "active", "invited" or "disabled"."""
        if self.disabled_at:
            return "disabled"
        return "active" if self.has_password or self.has_identity else "invited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept to judge who somebody is."""

    member: Member
    password: str
    second_factor: str
    last_step: int

    def __repr__(self) -> str:
        return f"Kept(member={self.member.id})"


_M = members.c


# -- reading ---------------------------------------------------------------------------------------


def has_team(connection: Connection) -> bool:
    """Tell whether there is anybody for whom to serve the console."""
    return connection.scalar(select(_M.id).limit(1)) is not None


def list_members(connection: Connection) -> tuple[Member, ...]:
    """List the team, by name."""
    rows = connection.execute(select(members).order_by(func.lower(_M.name))).mappings()
    return tuple(_member(row) for row in rows)


def find_member(connection: Connection, asked: str) -> Member:
    """Find who has a name or an address; raises `RefusedError` where nobody has."""
    of_them = (_M.name == asked.strip()) | (_M.email_key == build_account(asked))
    row = connection.execute(select(members).where(of_them)).mappings().one_or_none()
    if row is None:
        raise RefusedError(f"nobody on the team is {asked}", mend="see `newsletter team list`")
    return _member(row)


def read_member(connection: Connection, member_id: int) -> Member:
    """Read a member; raises `RefusedError` where there is none."""
    row = connection.execute(select(members).where(_M.id == member_id)).mappings().one_or_none()
    if row is None:
        raise RefusedError(f"there is no member {member_id}", mend="look at the team again")
    return _member(row)


def is_sender(connection: Connection, name: str) -> bool:
    """Tell whether somebody may send; a name that is no member's is not judged here."""
    row = connection.execute(select(members).where(_M.name == name)).mappings().one_or_none()
    return row is None or (row["disabled_at"] is None and may(row["role"], "sender"))


def build_account(email: str) -> str:
    """Give what an address that somebody typed is compared by: the key of its member's. Pure."""
    try:
        return parse_address(email).key
    except AudienceError:  # nobody's
        return email.strip().lower()


def find_kept(connection: Connection, *, email: str = "", member_id: int = 0) -> Kept | None:
    """Find what is kept of an address, or of a member."""
    of_them = _M.id == member_id if member_id else _M.email_key == build_account(email)
    return _kept(connection.execute(select(members).where(of_them)).mappings().one_or_none())


def find_known(connection: Connection, identity: str) -> Member | None:
    """Find whom a provider knows by a name of its own."""
    row = connection.execute(select(members).where(_M.identity == identity)).mappings()
    found = row.one_or_none()
    return None if found is None else _member(found)


def find_invited(connection: Connection, token: str, now: datetime) -> Kept | None:
    """Find whom a link lets set up; None for one that is used, too old or not ours."""
    row = connection.execute(
        select(members).where(
            _M.setup_hash == hash_token(token), _M.setup_until > now, _M.disabled_at.is_(None)
        )
    )
    return _kept(row.mappings().one_or_none())


def count_recovery_codes(connection: Connection, member_id: int) -> int:
    """Count the recovery codes that are left."""
    of_them = recovery_codes.c.member_id == member_id
    return connection.execute(
        select(func.count()).select_from(recovery_codes).where(of_them)
    ).scalar_one()


# -- changing --------------------------------------------------------------------------------------


def add_member(
    connection: Connection,
    name: str,
    email: str,
    role: Role,
    *,
    vault: Vault,
    actor: Actor,
    now: datetime,
) -> tuple[Member, str]:
    """Add somebody; return them and the token of the link with which they set up."""
    shown = _check_name(name)
    address = parse_address(email)
    if role not in ROLES:
        raise InputError(f'"{role}" is no role', mend=f"choose one of {', '.join(ROLES)}")
    taken = connection.execute(
        select(_M.name).where(
            (func.lower(_M.name) == shown.lower()) | (_M.email_key == address.key)
        )
    ).first()
    if taken:
        raise RefusedError(
            f"{taken.name} is on the team with that name or address",
            mend="`newsletter team reset` gives them a new link",
        )
    token = make_token()
    added = connection.execute(
        insert(members)
        .values(
            name=shown,
            email=address.email,
            email_key=address.key,
            role=role,
            second_factor=vault.make(),
            setup_hash=hash_token(token),
            setup_until=now + SETUP_WITHIN,
            created_at=now,
            by_command=actor.origin == COMMAND_LINE,
        )
        .returning(_M.id)
    ).scalar_one()
    after = {"name": shown, "role": role}
    note(connection, actor, "team.add", _target(added), now=now, after=after, detail=role)
    return read_member(connection, added), token


def add_known(
    connection: Connection,
    email: str,
    identity: str,
    role: Role,
    *,
    vault: Vault,
    actor: Actor,
    now: datetime,
) -> Member:
    """Add somebody whom a provider vouches for, in a role that is its to say from then on.

    Their name is from their address: what they call themselves may be somebody else's name.
    """
    address = parse_address(email)
    local, _, domain = address.email.rpartition("@")
    is_taken = connection.scalar(select(_M.id).where(func.lower(_M.name) == local.lower()))
    name = f"{local} ({domain})" if is_taken else local
    member, _ = add_member(
        connection, name[:_NAME_CHARACTERS], email, role, vault=vault, actor=actor, now=now
    )
    connection.execute(
        update(members)
        .where(_M.id == member.id)
        .values(identity=identity, is_mapped=True, setup_hash="", setup_until=None)
    )
    return read_member(connection, member.id)


def bind_identity(
    connection: Connection, member: Member, identity: str, *, actor: Actor, now: datetime
) -> None:
    """Keep what a provider knows a member by; raises `RefusedError` where that is somebody else."""
    is_free = (_M.id == member.id) & _M.identity.is_(None)
    if not connection.execute(update(members).where(is_free).values(identity=identity)).rowcount:
        raise RefusedError(
            f"the provider knows {member.name} as somebody else than you",
            mend="an admin's new link forgets that",
        )
    note(connection, actor, "team.identity", _target(member.id), now=now)


def reset_member(
    connection: Connection, member: Member, *, vault: Vault, actor: Actor, now: datetime
) -> str:
    """Take password, second factor, passkeys and sessions away; return the token of a new link.

    It also lets in who was disabled, and forgets what a provider knew them by.
    """
    token = make_token()
    end_all(connection, member.id)
    connection.execute(delete(passkeys).where(passkeys.c.member_id == member.id))
    connection.execute(delete(recovery_codes).where(recovery_codes.c.member_id == member.id))
    connection.execute(
        update(members)
        .where(_M.id == member.id)
        .values(
            password="",
            second_factor=vault.make(),
            last_step=0,
            setup_hash=hash_token(token),
            setup_until=now + SETUP_WITHIN,
            disabled_at=None,
            by_command=actor.origin == COMMAND_LINE,
            identity=None,
        )
    )
    note(connection, actor, "team.reset", _target(member.id), now=now, detail=f"was {member.state}")
    return token


def disable_member(connection: Connection, member: Member, *, actor: Actor, now: datetime) -> bool:
    """Keep somebody out from now on; False where they are out. The last admin stays."""
    if member.disabled_at:
        return False
    _check_admin_left(connection, member)
    end_all(connection, member.id)
    connection.execute(delete(passkeys).where(passkeys.c.member_id == member.id))
    connection.execute(
        update(members).where(_M.id == member.id).values(disabled_at=now, setup_hash="")
    )
    before, after = {"state": member.state}, {"state": "disabled"}
    note(
        connection,
        actor,
        "team.disable",
        _target(member.id),
        now=now,
        before=before,
        after=after,
        detail=f"was {member.state}",
    )
    return True


def change_role(
    connection: Connection, member: Member, role: Role, *, actor: Actor, now: datetime
) -> bool:
    """Give somebody another role; False where they have it. They log in anew."""
    if role not in ROLES:
        raise InputError(f'"{role}" is no role', mend=f"choose one of {', '.join(ROLES)}")
    if member.role == role:
        return False
    if member.role == "admin":
        _check_admin_left(connection, member)
    end_all(connection, member.id)
    connection.execute(update(members).where(_M.id == member.id).values(role=role))
    note(
        connection,
        actor,
        "team.role",
        _target(member.id),
        now=now,
        before={"role": member.role},
        after={"role": role},
        detail=f"{member.role} to {role}",
    )
    return True


def set_up(
    connection: Connection,
    token: str,
    password_hash: str,
    step: int,
    *,
    actor: Actor,
    now: datetime,
) -> tuple[Member, tuple[str, ...]]:
    """Use a link: keep a password, take the first code; return the member and recovery codes.

    Raises `RefusedError` where somebody else was quicker with the same link.
    """
    row = connection.execute(
        update(members)
        .where(_M.setup_hash == hash_token(token), _M.setup_until > now, _M.disabled_at.is_(None))
        .values(password=password_hash, last_step=step, setup_hash="", setup_until=None)
        .returning(_M.id)
    ).one_or_none()
    if row is None:
        raise RefusedError("this link was used already", mend="ask for a new one")
    codes = _renew_codes(connection, row.id)
    member = read_member(connection, row.id)
    note(connection, actor, "team.set-up", _target(row.id), now=now)
    return member, codes


def change_password(
    connection: Connection, member: Member, password_hash: str, *, actor: Actor, now: datetime
) -> None:
    """Keep a new password; every session ends, and whoever changed it gets one anew."""
    end_all(connection, member.id)
    connection.execute(update(members).where(_M.id == member.id).values(password=password_hash))
    note(connection, actor, "team.password", _target(member.id), now=now)


def renew_codes(
    connection: Connection, member: Member, *, actor: Actor, now: datetime
) -> tuple[str, ...]:
    """Make recovery codes anew; the old ones are good no more."""
    codes = _renew_codes(connection, member.id)
    note(connection, actor, "team.recovery-codes", _target(member.id), now=now)
    return codes


def end_all(connection: Connection, member_id: int) -> None:
    """End all sessions of somebody."""
    connection.execute(delete(sessions).where(sessions.c.member_id == member_id))


def write_setup_url(settings: Settings, token: str, *, here: bool = False) -> str:
    """Write the link that sets up, as it is reached from outside or on this machine; "" if not."""
    base = settings.console.url or settings.publication.url
    if here:
        base = f"http://{settings.web.listen}" if settings.web.listen else ""
    return f"{base}/console/setup/{token}" if base else ""


# -- judging ---------------------------------------------------------------------------------------


def takes_password(member: Member, settings: Console) -> bool:
    """Tell whether a member's password is taken; else they sign on by the provider. Pure."""
    return not settings.oidc.only or (member.by_command and member.role == "admin")


def is_right(kept: Kept | None, password: str) -> bool:
    """Tell whether a password is theirs; it takes as long for nobody's."""
    hashed = kept.password if kept and not kept.member.disabled_at else ""
    return is_password(password, hashed)


def take_code(
    connection: Connection, kept: Kept, code: str, *, vault: Vault, now: datetime
) -> bool:
    """Take a code of the app, or a recovery code, which is used up; False for a wrong one.

    Either is good once, however many try it at the same time.
    """
    secret = vault.open(kept.second_factor)
    step = find_step(secret, code, now, after=kept.last_step) if secret else None
    if step is not None:
        of_before = (_M.id == kept.member.id) & (_M.last_step < step)
        return bool(
            connection.execute(update(members).where(of_before).values(last_step=step)).rowcount
        )
    c = recovery_codes.c
    of_this = (c.member_id == kept.member.id) & (c.code_hash == hash_recovery_code(code))
    return bool(connection.execute(delete(recovery_codes).where(of_this)).rowcount)


def make_password_hash(password: str, repeated: str, member: Member) -> str:
    """Check a new password and hash it; raises `InputError`."""
    if password != repeated:
        raise InputError("the two passwords differ", mend="type the same one twice")
    check_password(password, name=member.name, email=member.email)
    return hash_password(password)


# -- the steps -------------------------------------------------------------------------------------


def _check_name(name: str) -> str:
    shown = " ".join(name.split())
    if not shown or len(shown) > _NAME_CHARACTERS or not shown.isprintable() or "@" in shown:
        raise InputError(
            f"a name has 1 to {_NAME_CHARACTERS} characters and no @",
            mend="decisions are signed with it",
        )
    return shown


def _check_admin_left(connection: Connection, leaving: Member) -> None:
    if leaving.role != "admin" or leaving.state != "active":
        return
    # Of two admins who put each other out the second waits here, and sees what the first did.
    connection.execute(
        select(_M.id).where(_M.role == "admin").order_by(_M.id).with_for_update()
    ).all()
    others = [
        each
        for each in list_members(connection)
        if each.role == "admin" and each.state == "active" and each.id != leaving.id
    ]
    if not others:
        raise RefusedError(f"{leaving.name} is the last admin", mend="make somebody else one first")


def _renew_codes(connection: Connection, member_id: int) -> tuple[str, ...]:
    codes = make_recovery_codes()
    connection.execute(delete(recovery_codes).where(recovery_codes.c.member_id == member_id))
    rows = [{"member_id": member_id, "code_hash": hash_recovery_code(code)} for code in codes]
    connection.execute(insert(recovery_codes), rows)
    return codes


def _target(member_id: int) -> str:
    return f"member {member_id}"


def _kept(row: Any) -> Kept | None:
    if row is None:
        return None
    return Kept(
        member=_member(row),
        password=row["password"],
        second_factor=row["second_factor"],
        last_step=row["last_step"],
    )


def _member(row: Any) -> Member:
    return Member(
        id=row["id"],
        name=row["name"],
        email=row["email"],
        role=row["role"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        setup_until=row["setup_until"],
        has_password=bool(row["password"]),
        has_identity=bool(row["identity"]),
        is_mapped=row["is_mapped"],
        by_command=row["by_command"],
    )
