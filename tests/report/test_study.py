"""The page of a study."""

import re

import pytest


def test_study(report, study):
    page = report(study)
    for words in ("Cells: 40 finished, 1 failed; 2.0 h", "--seeds '<1>'", "five", "seeds"):
        assert words in page.text
    assert "<strong>five</strong>" in page.html and "&lt;script&gt;" in page.html
    assert page.html.count("<h1>") == 1 and "<h3>Cora</h3>" in page.html
    assert '<td style="text-align:right">80.1</td>' in page.html
    assert "Accuracy." in page.text
    # One picture where it is named, the other below.
    assert [attrs["alt"] for tag, attrs in page.tags if tag == "img"] == [
        "Accuracy",
        "table1-degrees",
    ]
    assert all(src.startswith("data:image/svg+xml;") for src in page.attributes("src"))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("study.json", "{}", "study.json: not written by a study .KeyError"),
        ("table1.md", None, "table1.md: no such file"),
        ("table1.md", "![x](gone.png)", "gone.png: no such file"),
        ("table1.md", "![x](../secret.png)", "expected a .svg or .png beside it, found ../secret"),
        ("table1.md", "![x](https://a.b/x.png)", "expected a .svg or .png beside it, found https"),
    ],
)
def test_damaged_studies(file, content, message, study, refused):
    path = study / file
    path.unlink() if content is None else path.write_text(content)
    assert re.search(message, refused(study))
