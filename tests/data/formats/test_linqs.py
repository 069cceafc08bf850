"""LINQS' files: what they leave open, and what is refused."""

import re

import numpy as np
import pytest

from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source

from ...cli.conftest import refused, run
from .layouts import graph, linqs, linqs_text, pubmed


def test_strangers_are_left_out_with_one_line(tmp_path, capsys):
    """As in Citeseer; and ids of nodes are kept in the order of the rows."""
    g = graph()
    source = linqs(g, tmp_path)
    lines = (source / "cora.content").read_text().splitlines()
    links = source / "cora.cites"
    links.write_text(links.read_text() + f"{lines[0].split()[0]}\tbradshaw97\n")
    status, _, err = run(capsys, "data", "import", source, "--out", tmp_path / "out")
    assert status == 0
    told = [line for line in err.splitlines() if "cora.cites" in line]
    assert len(told) == 1 and "2 citations of papers that are not in cora.content" in told[0]
    ids = np.load(tmp_path / "out/ids.npy")
    assert ids.dtype == np.int64
    assert ids.tolist() == [int(line.split("\t")[0]) for line in lines]
    assert len(np.load(tmp_path / "out/edges.npy")) == len(g.edges)


def test_ids_as_text(tmp_path, capsys):
    source = linqs_text(graph(), tmp_path)
    assert run(capsys, "data", "import", source, "--out", tmp_path / "out")[0] == 0
    first = source.read_text().split(maxsplit=1)[0]
    assert np.load(tmp_path / "out/ids.npy")[0] == first


def test_classes(tmp_path):
    for layout, names in ((linqs, "Theory"), (pubmed, "3")):
        d = load_source(DataConfig(name="directory", root=str(layout(graph(), tmp_path))))
        assert d.num_classes == 3 and str((d.classes or ())[2]) == names


def change(pattern: str, new: str):
    def of(path):
        path.write_text(re.sub(pattern, new, path.read_text(), count=1))

    return of


CONTENT, CITES = "cora/cora.content", "cora/cora.cites"
TAB = "Pubmed-Diabetes/data/Pubmed-Diabetes.NODE.paper.tab"
REFUSED = {
    "a number less": (linqs, CONTENT, change(r"\n(\d+)\t[01]", r"\n\1"),
                      "expected 12 numbers between id and class, found 11 in line 2"),
    "no number": (linqs, CONTENT, change(r"\n(\d+)\t[01]", r"\n\1\tx"), "numbers in line 2"),
    "twice": (linqs, CONTENT, lambda p: p.write_text(p.read_text() * 2), "is there twice"),
    "empty": (linqs, CONTENT, lambda p: p.write_text("\n"), "expected papers with features"),
    "three papers": (linqs, CITES, change(r"\n", "\t7\n"), "two papers, found 3 in line 1"),
    "of another graph": (linqs, CITES, lambda p: p.write_text("a\tb\n"), "found none"),
    "no text": (linqs, CITES, lambda p: p.write_bytes(b"\xff\xfe"), "list of citations"),
    "no header": (pubmed, TAB, change("NODE\tpaper\n", ""), "expected NODE, and a line"),
    "of no column": (pubmed, TAB, change("w-0=", "w-99="), "found w-99, which no column has"),
    "no label": (pubmed, TAB, change("label=", "labels="), "found no label|labels, which no"),
    "a word twice": (pubmed, TAB, change("(w-0=)", r"w-0=1\t\1"), "w-0 twice"),
    "a label alone": (pubmed, TAB, change("label=[123]", "label"), "not LINQS' table of papers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path, capsys):
    layout, file, damage, told = REFUSED[case]
    g = graph()
    g.x[1, 0] = 1
    source = layout(g, tmp_path)
    damage(tmp_path / file)
    found = refused(capsys, tmp_path, "data", "import", source, "--out", tmp_path / "out")
    assert re.search(told, found) and str(tmp_path / file).split(".")[0] in found, found


def test_several_graphs_in_a_folder(tmp_path, capsys):
    source = linqs(graph(), tmp_path)
    for ending in (".content", ".cites"):
        (source / f"texas{ending}").write_bytes((source / f"cora{ending}").read_bytes())
    told = refused(capsys, tmp_path, "data", "import", source, "--out", tmp_path / "out")
    assert "found cora.content and texas.content; name the file of one" in told
    one = source / "texas.content"
    assert run(capsys, "data", "import", one, "--out", tmp_path / "out")[0] == 0


def test_what_a_file_holds_is_told_in_one_line(tmp_path, capsys):
    """Even where it ends lines or clears terminals."""
    source, told = pubmed(graph(), tmp_path), "\x0b\x85\u2028\x1b[2J"
    change(r"\tw-(\d)=", "\tw" + told + r"\1=")(tmp_path / TAB)
    found = refused(capsys, tmp_path, "data", "import", source, "--out", tmp_path / "out")
    assert r"w\x0b\x85\u2028\x1b[2J" in found and "which no column has" in found, found
