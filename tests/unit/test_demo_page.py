import email
import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage

import html5lib
import httpx2
import pytest

from newsletter.demo.mailbox import Mailbox
from newsletter.demo.page import serve_page

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def build_message(subject: str = "Morning edition", html: str = "<p>Hello</p>") -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["Subject"] = subject
    message["From"] = "Harbor Daily <daily@news.example>"
    message["To"] = "ada@reader.example"
    message.set_content("Hello in plain text")
    message.add_alternative(html, subtype="html")
    return message.as_bytes()


@contextmanager
def page_of(*messages: tuple[str, bytes]) -> Iterator[httpx2.Client]:
    with Mailbox() as mailbox, serve_page(mailbox) as page:
        with smtplib.SMTP(mailbox.host, mailbox.port, "client.example", timeout=5) as smtp:
            for recipient, raw in messages:
                smtp.sendmail("bounce@news.example", [recipient], raw)
        with httpx2.Client(base_url=page.url, trust_env=False, timeout=60) as client:
            yield client


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    messages = [
        ("ada@reader.example", build_message()),
        ('"../../etc/<b>"@reader.example', build_message(MARKUP, f"<p>{MARKUP}</p>")),
        ("bob@reader.example", b"Subject: Plain\r\n\r\nonly text \xff\x00\r\n</pre><script>\r\n"),
    ]
    with page_of(*messages) as client:
        yield client


def elements(html: str, name: str) -> list[dict[str, str]]:
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    return [dict(element.attrib) for element in tree.iter(name)]


def test_an_empty_mailbox_says_so() -> None:
    with page_of() as client:
        assert "No mail has arrived yet" in client.get("/").text


def test_the_list_names_every_message(client: httpx2.Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    for text in ("3 messages", "Morning edition", "ada@reader.example", "bob@reader.example"):
        assert text in answer.text
    links = [a["href"] for a in elements(answer.text, "a") if a["href"].startswith("/messages")]
    assert links == ["/messages/1", "/messages/2", "/messages/3"]


def test_a_message_has_three_views_and_a_download(client: httpx2.Client) -> None:
    shown = client.get("/messages/1")
    (frame,) = elements(shown.text, "iframe")
    assert "allow-scripts" not in frame["sandbox"]
    assert "allow-same-origin" not in frame["sandbox"]
    assert "<p>Hello</p>" in client.get(frame["src"]).text
    assert "Hello in plain text" in client.get("/messages/1/plain").text
    assert "multipart/alternative" in client.get("/messages/1/source").text
    for path in ("", "/plain", "/source"):
        links = elements(client.get("/messages/1" + path).text, "a")
        current = [a["href"] for a in links if "aria-current" in a]
        assert current == ["/messages/1" + path]


def test_the_download_is_the_message_byte_for_byte(client: httpx2.Client) -> None:
    answer = client.get("/messages/1/message.eml")
    assert answer.content == build_message_as_sent(answer.content)
    assert answer.headers["content-type"] == "message/rfc822"
    assert "001-ada@reader.example.eml" in answer.headers["content-disposition"]
    third = client.get("/messages/3/message.eml").content
    assert third == b"Subject: Plain\r\n\r\nonly text \xff\x00\r\n</pre><script>\r\n"


def build_message_as_sent(content: bytes) -> bytes:
    """Build the same message with the boundary that the sent one happened to get."""
    message = email.message_from_bytes(build_message(), policy=policy.SMTP)
    boundary = email.message_from_bytes(content, policy=policy.SMTP).get_boundary()
    assert boundary is not None
    message.set_boundary(boundary)
    return message.as_bytes()


@pytest.mark.parametrize("path", ["/", "/messages/2", "/messages/2/plain", "/messages/2/source"])
def test_markup_in_a_message_is_only_text(client: httpx2.Client, path: str) -> None:
    answer = client.get(path)
    assert elements(answer.text, "script") == []
    assert elements(answer.text, "img") == []
    assert elements(answer.text, "b") == []
    assert "&lt;script&gt;" in answer.text


def test_a_part_cannot_leave_its_element(client: httpx2.Client) -> None:
    for path in ("/plain", "/source"):
        html = client.get("/messages/3" + path).text
        assert elements(html, "script") == []
        assert html.count("</pre>") == 1
    assert "\\xff\u2400" in client.get("/messages/3/source").text


def test_policies_forbid_scripts_and_outside_requests(client: httpx2.Client) -> None:
    mail = client.get("/messages/2/content.html")
    assert "<script>" in mail.text, "the message's own HTML is not rewritten"
    policy_of_mail = mail.headers["content-security-policy"]
    assert policy_of_mail.startswith("sandbox ")
    assert "allow-scripts" not in policy_of_mail
    for path in ("/", "/messages/2", "/messages/2/content.html", "/messages/99"):
        found = client.get(path).headers
        rules = dict(
            rule.strip().partition(" ")[::2] for rule in found["content-security-policy"].split(";")
        )
        assert rules["default-src"] == "'none'"
        assert "script-src" not in rules
        assert rules["img-src"] == "data:"
        assert found["referrer-policy"] == "no-referrer"


def test_pages_name_no_other_host(client: httpx2.Client) -> None:
    for path in ("/", "/messages/1", "/messages/1/plain", "/messages/99"):
        html = client.get(path).text
        assert "http://" not in html
        assert "https://" not in html


def test_a_path_like_recipient_gives_a_plain_file_name(client: httpx2.Client) -> None:
    found = client.get("/messages/2/message.eml").headers["content-disposition"]
    assert found == 'attachment; filename="002-_.._.._etc__b__@reader.example.eml"'


def test_a_message_without_html_says_so(client: httpx2.Client) -> None:
    assert "has no HTML part" in client.get("/messages/3").text


@pytest.mark.parametrize(
    "path",
    [
        "/messages/0",
        "/messages/4",
        "/messages/-1",
        "/messages/x",
        "/messages/9" + "9" * 400,
        "/messages/4/source",
        "/messages/0/content.html",
        "/docs",
        "/openapi.json",
        "/redoc",
    ],
)
def test_unknown_addresses_are_a_readable_404(client: httpx2.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def test_neighbors_are_linked(client: httpx2.Client) -> None:
    def targets(path: str) -> set[str]:
        return {a["href"] for a in elements(client.get(path).text, "a")}

    assert "/messages/2/plain" in targets("/messages/1/plain")
    assert {"/messages/1", "/messages/3"} <= targets("/messages/2")
    assert "/messages/4" not in targets("/messages/3")


WAITING = """
import warnings
warnings.simplefilter("error")
from newsletter.demo.mailbox import Mailbox
from newsletter.demo.page import serve_page
with Mailbox() as mailbox, serve_page(mailbox) as page:
    print(page.url, flush=True)
    page.wait()
print("ended", flush=True)
"""


def test_waiting_ends_cleanly_on_ctrl_c() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx2.Client(trust_env=False, timeout=60) as browser:
            assert browser.get(url).status_code == 200
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
    assert (out, err, process.returncode) == ("ended\n", "", 0)
