from __future__ import annotations

import pytest
from mjml import mjml2html

from newsletter.render.standards import conform

MJML = """<mjml lang="en" dir="ltr"><mj-head><mj-preview>News</mj-preview></mj-head><mj-body>
<mj-section background-url="https://news.example/a.png"><mj-column><mj-text>a</mj-text></mj-column>
</mj-section></mj-body></mjml>"""


@pytest.fixture(scope="module")
def compiled() -> str:
    html: str = mjml2html(MJML, fonts={}, disable_comments=False)
    return html


def test_what_is_for_word_stands_where_word_alone_reads_it(compiled: str) -> None:
    assert "xmlns:o=" in compiled.partition("<head")[0], "the compiler has changed"
    html = conform(compiled)
    assert "xmlns" not in html.partition("<head")[0]
    office = '<o:OfficeDocumentSettings xmlns:o="urn:schemas-microsoft-com:office:office">'
    for words in (office, "mso-table-lspace: 0pt; mso-table-rspace: 0pt;"):
        before, _, after = html.partition(words)
        assert before.rpartition("<!--[if mso]>")[2].count("<![endif]-->") == 0
        assert "<![endif]-->" in after
    assert html.count("mso-table-lspace") == compiled.count("mso-table-lspace") == 1
    assert "border-collapse: collapse; }" in html


def test_vml_keeps_its_namespace(compiled: str) -> None:
    html = conform(compiled)
    assert "<v:rect" in html
    assert html.count("<v:") == html.count('xmlns:v="urn:schemas-microsoft-com:vml"')


def test_the_preheader_is_hidden_and_not_white(compiled: str) -> None:
    hidden = '<div style="display:none;font-size:1px;'
    assert f"{hidden}color:#ffffff;" in compiled, "the compiler has changed"
    assert f"{hidden}line-height:1px;" in conform(compiled)


def test_it_can_be_done_twice(compiled: str) -> None:
    once = conform(compiled)
    assert conform(once) == once
    assert conform("<p>nothing of it</p>") == "<p>nothing of it</p>"
