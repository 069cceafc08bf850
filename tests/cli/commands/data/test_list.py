from infgrand_dgl.config.schema import DATASETS

from ...conftest import run


def test_list(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    status, output, _ = run(capsys, "data", "list")
    *sets, root = output.splitlines()
    assert status == 0 and [line.split()[0] for line in sets] == list(DATASETS)
    assert "cora               built into DGL" in sets
    assert "ogbn-arxiv         OGB node property prediction" in sets
    about = "your own: edges, features.npy, labels.npy, splits.json in data.root"
    assert sets[-1] == f"directory          {about}"
    assert root == f"downloads go to {tmp_path}/infgrand-dgl, unless data.root says otherwise"
