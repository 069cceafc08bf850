"""A hook of MkDocs: formulas become MathML as a page is built, so that reading it needs no script
and no network. One that cannot be read fails the build."""

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

# As pymdownx.arithmatex leaves them: \(inline\) and \[on lines of their own\].
FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\s*\\[(\[](.*?)\\[)\]]\s*</\1>', flags=re.DOTALL
)


def on_page_content(page_html: str, page: Any, **_: Any) -> str:
    def mathml(match: re.Match[str]) -> str:
        latex = html.unescape(match[2]).strip()
        try:
            formula = convert(latex, display="block" if match[1] == "div" else "inline")
        except Exception as error:
            raise PluginError(f"{page.file.src_uri}: {latex}: {error!r}") from error
        if "\\" in formula:  # what the converter does not know, it repeats
            raise PluginError(f"{page.file.src_uri}: {latex}: a command that is not known")
        return f"<{match[1]}>{formula}</{match[1]}>"

    return FORMULA.sub(mathml, page_html)
