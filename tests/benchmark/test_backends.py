import torch

from infgrand_dgl.benchmark import backends


def test_dgl_without_cuda_says_so(monkeypatch):
    monkeypatch.setattr(backends.dgl_bridge, "has_cuda", lambda: False)
    assert backends.missing("dgl", torch.device("cuda")) == "this DGL has no CUDA"
    assert not backends.missing("native", torch.device("cuda"))
    assert not backends.missing("dgl", torch.device("cpu"))
