"""A Dovecot of our own: LMTP into Maildirs, IMAP out of them, and the logins of Postfix."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.integration.servers.daemon import HOST, PACKAGES, Daemon, find_program, free_port, greets
from tests.integration.servers.mailbox import Stored, read_maildirs

USER, PASSWORD = "daily", "correct horse battery staple"

# Without the two chroots and with all users the same, it runs as anybody (the manual's
# "rootless installation"). A wrong login is told so at once, and the next one too.
_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp{imap}
listen = {host}
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{certificate}
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
auth_failure_delay = 0
auth_username_chars =
recipient_delimiter =
mail_location = maildir:~/Maildir
passdb {{
  driver = passwd-file
  args = {folder}/logins
}}
userdb {{
  driver = passwd-file
  args = {folder}/readers
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
  }}
}}
service auth {{
  unix_listener {folder}/login {{
    mode = 0666
  }}
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    port = {port}
  }}
}}
"""


class Dovecot:
    """Keeps mail for the readers it is told of, and refuses all others."""

    def __init__(
        self,
        folder: Path,
        *,
        certificate: Path,
        readers: Sequence[str] = (),
        logins: Mapping[str, str] | None = None,
    ) -> None:
        """Keep mail for `readers`, and let those of `logins` read theirs with a password."""
        program = find_program("dovecot")
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        if not version.stdout.startswith("2.3."):
            pytest.skip(
                f"these settings are Dovecot 2.3's, and here is {version.stdout.split()[0]}"
            )
        if not Path("/usr/lib/dovecot/lmtp").exists():
            pytest.skip(f"this Dovecot has no LMTP: apt-get install {PACKAGES}")
        if logins and not Path("/usr/lib/dovecot/imap").exists():
            pytest.skip("this Dovecot has no IMAP: apt-get install dovecot-imapd")
        self.folder, self.port = folder, free_port()
        self.imap_port, self.imaps_port = free_port(), free_port()
        self.login_socket, self.lmtp_socket = folder / "login", folder / "lmtp"
        self.log_file = folder / "log"
        # Root itself must not own mail; any other user can only give it to itself.
        owner = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        mail = folder / "mail"
        for made in (folder / "run", folder / "state", mail):
            made.mkdir()
        if os.getuid() == 0:
            os.chown(mail, owner.pw_uid, owner.pw_gid)
        self._config = folder / "dovecot.conf"
        self._config.write_text(
            _CONFIG.format(
                folder=folder,
                host=HOST,
                port=self.port,
                imap=" imap" if logins else "",
                imap_port=self.imap_port,
                imaps_port=self.imaps_port,
                certificate=certificate,
                user=owner.pw_name,
                group=grp.getgrgid(owner.pw_gid).gr_name,
            )
        )
        (folder / "logins").write_text(
            "".join(
                f"{user}:{{PLAIN}}{password}\n"
                for user, password in ({USER: PASSWORD} | dict(logins or {})).items()
            )
        )
        self._users = [*readers, *(logins or ())]
        (folder / "readers").write_text(
            "".join(
                f"{_escape(reader)}::{owner.pw_uid}:{owner.pw_gid}::{mail}/{number}::\n"
                for number, reader in enumerate(self._users)
            )
        )
        self._daemon = Daemon([program, "-F", "-c", str(self._config)], log=self.log_file)

    def home(self, user: str) -> Path:
        """Where the mail of a reader is."""
        return self.folder / "mail" / str(self._users.index(user))

    def start(self) -> None:
        self._daemon.start(lambda: greets(self.port))

    def kill(self) -> None:
        self._daemon.kill()

    @property
    def stored(self) -> list[Stored]:
        """Every message it keeps."""
        return read_maildirs(self.folder / "mail")


def _escape(user: str) -> str:
    """Write a user as Dovecot asks its files for it."""
    return user.replace("'", "\\'")
