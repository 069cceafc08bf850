import torch

from infgrand_dgl.influence.streamed import block_rows
from infgrand_dgl.system.memory import Budget, resident
from infgrand_dgl.system.runtime import Runtime

CPU = torch.device("cpu")


def test_blocks_grow_with_the_budget():
    assert block_rows(1000, 10, Runtime(CPU, Budget(1 << 60, 1 << 60))) == 1000
    needed = 3 * (32 << 20) + 40 * 1_000_000 + 300_000 * (20 * 64 + 300)
    assert block_rows(1_000_000, 64, Runtime(CPU, Budget(resident() + needed))) == 250_000
