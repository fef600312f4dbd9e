"""A Postfix of our own: its settings, queue, mailboxes and log lie in one folder.

It listens on one port of loopback for submission: STARTTLS and a login are wanted, unless a
test says otherwise, and mail goes into Maildirs by virtual(8). Neither /etc/postfix nor the
system's queue is touched. Postfix's master must be root, since each of its parts runs as the
user it is meant to.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.integration.servers.daemon import (
    HOST,
    Daemon,
    find_program,
    free_port,
    greets,
    wait_until,
)
from tests.integration.servers.mailbox import Stored, read_maildirs

_QUEUES = ("incoming", "active", "deferred")
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = {host}
inet_protocols = ipv4
myhostname = relay.example
mydestination =
alias_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/readers
virtual_uid_maps = static:{owner}
virtual_gid_maps = static:{group}
smtpd_tls_chain_files = {certificate}
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {login_socket}
smtpd_sasl_authenticated_header = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
"""
_MASTER = """\
{host}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Takes mail for the readers it is told of, and refuses all others."""

    def __init__(
        self,
        folder: Path,
        *,
        certificate: Path,
        login_socket: Path,
        readers: Sequence[str],
        settings: Mapping[str, str],
    ) -> None:
        """`settings` come after our own, so that theirs hold."""
        postconf = find_program("postconf")
        if os.getuid() != 0:
            pytest.skip("Postfix can be started by root only: run the tests as root")
        self.folder, self.port = folder, free_port()
        self._log_file = folder / "log"
        nobody = pwd.getpwnam("nobody")
        rows = (f"{reader} {number}/\n" for number, reader in enumerate(readers))
        _write_settled(folder / "readers", "".join(rows))
        self._main = _MAIN.format(
            folder=folder,
            host=HOST,
            owner=nobody.pw_uid,
            group=nobody.pw_gid,
            certificate=certificate,
            login_socket=login_socket,
        )
        self._etc = folder / "etc"
        self._etc.mkdir()
        self.set(settings)
        _write_settled(self._etc / "master.cf", _MASTER.format(host=HOST, port=self.port))
        asked = [postconf, "-c", str(self._etc), "-h", "daemon_directory", "mail_owner"]
        daemons, itself = subprocess.run(
            asked, capture_output=True, text=True, check=True
        ).stdout.split()
        self._make_folders(pwd.getpwnam(itself), nobody)
        # `postfix start-fg` would put a shell between us and the master.
        master = [f"{daemons}/master", "-c", str(self._etc), "-s"]
        self._daemon = Daemon(master, log=self._log_file)

    def _make_folders(self, itself: pwd.struct_passwd, owner: pwd.struct_passwd) -> None:
        queue = self.folder / "queue"
        private = ("bounce", "corrupt", "defer", "flush", "hold", "private", "saved", "trace")
        for made in (queue, queue / "pid"):
            made.mkdir()
        for name in (*_QUEUES, *private, "public"):
            (queue / name).mkdir(mode=0o700)
            os.chown(queue / name, itself.pw_uid, -1)
        for name, user in (("data", itself), ("mail", owner)):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, user.pw_uid, user.pw_gid)

    def set(self, settings: Mapping[str, str]) -> None:
        """Give it other settings, from its next start on."""
        added = "".join(f"{name} = {value}\n" for name, value in settings.items())
        _write_settled(self._etc / "main.cf", self._main + added)

    def start(self) -> None:
        self._daemon.start(lambda: greets(self.port))

    def stop(self) -> None:
        self._daemon.stop()

    def kill(self) -> None:
        self._daemon.kill()

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    @property
    def stored(self) -> list[Stored]:
        """Every message in a mailbox, once its queue has run empty."""
        try:
            wait_until(lambda: not self._has_work(), "Postfix delivers what it has")
        except AssertionError as error:
            error.add_note(self.log[-5000:])
            raise
        return read_maildirs(self.folder / "mail")

    def _has_work(self) -> bool:
        """Whether a message waits; one that was not completed is no message (no `x` yet)."""
        for name in _QUEUES:
            for file in (self.folder / "queue" / name).rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    mode = file.stat().st_mode
                    if stat.S_ISREG(mode) and mode & stat.S_IXUSR:
                        return True
        return False


def _write_settled(path: Path, text: str) -> None:
    """Write a file as if a minute ago: Postfix waits until nobody can be still writing it."""
    path.write_text(text)
    before = time.time() - 60
    os.utime(path, (before, before))
