"""A name server on loopback: answers over UDP what a test wants the DNS to say."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """Answers over UDP on loopback from `zones`: name → type → records; None is no such name."""

    def __init__(self) -> None:
        self.zones: dict[str, dict[str, list[str]] | str | None] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    @contextmanager
    def serving(self) -> Iterator[NameServer]:
        self._thread.start()
        try:
            yield self
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", self._socket.getsockname())
            self._thread.join()
            self._socket.close()

    def _serve(self) -> None:
        while True:
            wire, sender = self._socket.recvfrom(4096)
            if not wire:
                return
            answer = self._answer(dns.message.from_wire(wire))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), question.rdtype.name
        self.asked[name, kind] += 1
        zone = self.zones.get(name, {})
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if zone == "silent":
            return None
        if zone == "broken":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif zone is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            assert isinstance(zone, dict)
            if records := zone.get(kind):
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *records))
        return answer
