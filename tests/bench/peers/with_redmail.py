"""redmail: a thread and a connection kept open each.

It takes no finished message, so each is composed from the subject and the two bodies.
"""

from __future__ import annotations

import importlib
from email import policy
from email.parser import BytesParser
from typing import Any

from tests.bench.peers.measuring import SENDER, measure, read_order, report, send_in_threads

redmail: Any = importlib.import_module("redmail")  # in the benchmark's own environment only
order = read_order()
message = BytesParser(policy=policy.default).parsebytes(order.path.read_bytes())
bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
plain, html = (body.get_content() for body in bodies if body is not None)


def send(recipients: list[str]) -> None:
    sender = redmail.EmailSender(host=order.host, port=order.port, use_starttls=False)
    sender.use_jinja = False  # the bodies are finished; it would compile each as a template
    with sender:
        for recipient in recipients:
            sender.send(
                subject=str(message["Subject"]),
                sender=SENDER,
                receivers=[recipient],
                text=plain,
                html=html,
            )


report(measure(lambda: send_in_threads(order, send)))
