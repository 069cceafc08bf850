import pytest
import torch

from tests.conftest import dense_adjacency
from tests.nn.models import BACKENDS, setup


@pytest.mark.parametrize("backend", BACKENDS)
def test_gcn_is_its_equation(backend):
    csr, gcn, x = setup("gcn", backend=backend)
    A = dense_adjacency(csr).float()
    s = A.sum(1).rsqrt()
    A = s[:, None] * A * s
    one, two = gcn.layers
    hidden = (A @ x @ one.weight + one.bias).relu()
    torch.testing.assert_close(gcn(csr.to_dgl(), x), A @ hidden @ two.weight + two.bias)
