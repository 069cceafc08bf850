from infgrand_dgl.registry import Source, sources

from ...conftest import run


def test_list(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    status, output, _ = run(capsys, "data", "list")
    *sets, root = output.splitlines()
    assert status == 0 and [line.split()[0] for line in sets] == [
        source.name for source in sources.in_order()
    ]
    assert sets[0].startswith("cora ") and len(sets) == 12
    assert "cora               built into DGL" in sets
    assert "ogbn-arxiv         OGB node property prediction" in sets
    about = "your own graph in data.root: a folder, or what data import takes"
    assert sets[-1] == f"directory          {about}"
    assert root == f"downloads go to {tmp_path}/infgrand-dgl, unless data.root says otherwise"


def homeless():
    raise RuntimeError("Could not determine home directory.")


def test_without_a_home(capsys, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", homeless)
    status, output, error = run(capsys, "data", "list")
    assert (status, error) == (0, "")
    assert output.splitlines()[-1] == "there is no home folder: downloads need data.root"


def test_sources_of_others(capsys, monkeypatch):
    toy = Source("toy", label="Toy", about="made up", load=print, place=0)
    monkeypatch.setitem(sources.added, "toy", toy)
    assert run(capsys, "data", "list")[1].startswith("toy                made up\ncora ")
