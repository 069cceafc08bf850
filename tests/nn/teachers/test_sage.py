import pytest
import torch

from tests.conftest import dense_adjacency
from tests.nn.models import BACKENDS, setup


@pytest.mark.parametrize("backend", BACKENDS)
def test_sage_is_its_equation(backend):
    csr, sage, x = setup("sage", backend=backend)
    A = dense_adjacency(csr).float() + torch.eye(30)  # the node itself once more
    A = A / A.sum(1, keepdim=True)
    one, two = sage.layers
    hidden = (A @ x @ one.fc_neigh.weight.T + one.bias).relu()
    expected = A @ hidden @ two.fc_neigh.weight.T + two.bias
    torch.testing.assert_close(sage(csr.to_dgl(), x), expected)
