import subprocess
import sys

import pytest

SCRIPT = """
import re
from pathlib import Path
import torch
from infgrand_dgl.allocator import keep_freed_memory, return_freed_memory

def resident():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", status)[1]) >> 10

found = [resident()]
torch.ones(200 << 18)
found.append(resident())
keep_freed_memory()
torch.ones(200 << 18)
found.append(resident())
return_freed_memory()
found.append(resident())
print(*found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_is_kept_until_returned():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    before, unmapped, kept, returned = map(int, done.stdout.split())
    assert unmapped < before + 50 and returned < before + 50
    assert kept > before + 150
