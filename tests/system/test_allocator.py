import subprocess
import sys

import pytest

SCRIPT = """
import re
from pathlib import Path
import torch
from infgrand_dgl.system.allocator import freed_memory_kept

def resident():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", status)[1]) >> 10

before = resident()

def grown_by_a_freed_tensor():
    torch.ones(200 << 18)
    return resident() - before

found = [grown_by_a_freed_tensor()]
with freed_memory_kept():
    with freed_memory_kept():
        pass  # a block within: the outer one goes on
    found.append(grown_by_a_freed_tensor())
found += [resident() - before, grown_by_a_freed_tensor()]
print(*found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_is_kept_in_the_block_alone():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    unmapped, kept, returned, unmapped_again = map(int, done.stdout.split())
    assert max(unmapped, returned, unmapped_again) < 50 < 150 < kept
