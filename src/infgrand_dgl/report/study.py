"""A study: what it wrote in Markdown, with its pictures inside."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from ..errors import InputError
from ..present.style import as_data_uri
from ..system.reading import reading
from .content import Part, Picture, Section, facts

# What a folder with Markdown is, and what of it is counted, by the file that says so.
MARKERS = {"study.json": ("Study", "cells"), "tune.json": ("Search", "trials")}
KINDS = {".svg": "svg+xml", ".png": "png"}


def study_part(path: Path) -> Part:
    """The report of a folder that a study or a search wrote.

    Raises:
        InputError: a file of it is missing or damaged.
    """
    marker = next(name for name in MARKERS if (path / name).is_file())
    kind, counted = MARKERS[marker]
    with reading(path / marker, f"written by a {kind.lower()}"):
        study = json.loads((path / marker).read_text())
        name, title, command = (str(study[key]) for key in ("study", "title", "command"))
        counts = [f"{n:,} {state}" for state, n in study[counted].items() if n]
        lead = f"{counted.capitalize()}: {', '.join(counts)}; {_duration(float(study['seconds']))}"
        machine = Section("Environment", tables=[facts(study["environment"])])
    source = path / f"{name}.md"
    with reading(source, "a study's Markdown"):
        text = source.read_text()
    body, shown = _rendered(text, source, title)
    others = [p for p in sorted(path.glob(f"{name}*.svg")) if p.stem not in shown]
    pictures = [Picture(_embedded(p), p.stem, p.stem) for p in others]
    sections = [Section("", text=body), machine]
    if pictures:
        sections.insert(1, Section("Figures", pictures=pictures))
    return Part(kind, title, lead, sections, command)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _rendered(text: str, source: Path, title: str) -> tuple[Markup, set[str]]:
    """HTML one heading level down, and the names of the pictures in it, without their suffix.

    Of a picture in both formats the SVG is taken. Raw HTML stays text, a link its words: the page
    leads nowhere else. A first heading that only repeats the title is left out.
    """
    shown: set[str] = set()

    def image(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        file, alt = str(tokens[index].attrs["src"]), escape(tokens[index].content)
        path = source.parent / file
        if Path(file).name != file or path.suffix not in KINDS:
            raise InputError(f"{source}: expected a .svg or .png beside it, found {file}")
        shown.add(path.stem)
        vector = path.with_suffix(".svg")
        uri = _embedded(vector if vector.is_file() else path)
        return f'<span class="scroll" tabindex="0"><img src="{uri}" alt="{alt}"></span>'

    def nothing(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return ""

    def table(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return '<div class="scroll" tabindex="0"><table>'

    def table_end(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return "</table></div>"

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    rules: Mapping[str, Any] = {
        "image": image,
        "link_open": nothing,
        "link_close": nothing,
        "table_open": table,
        "table_close": table_end,
    }
    for name, rule in rules.items():
        markdown.add_render_rule(name, rule)
    tokens = markdown.parse(re.sub(r" \(\[SVG\]\([^)]*\)\)", "", text))  # it is here
    if len(tokens) > 2 and tokens[0].tag == "h1" and tokens[1].content == title:
        tokens = tokens[3:]
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    return Markup(markdown.renderer.render(tokens, markdown.options, {})), shown


def _embedded(path: Path) -> str:
    with reading(path, "a picture"):
        return as_data_uri(path.read_bytes(), KINDS[path.suffix])
