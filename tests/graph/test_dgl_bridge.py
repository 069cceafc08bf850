import os
import subprocess
import sys

import pytest

CODE = """
import importlib.machinery, sys
import torch
loader = importlib.machinery.SourceFileLoader
cached = loader.get_code

def get_code(self, name):
    if name.split(".")[0] != "dgl":
        return cached(self, name)
    path = self.get_filename(name)
    return self.source_to_code(self.get_data(path), path)

loader.get_code = get_code
import infgrand_dgl.graph.dgl_bridge
assert "dgl.backend.backend" in sys.modules
"""


def test_dgl_is_imported_where_it_is_compiled_anew_and_warnings_are_errors():
    """As on a machine without its .pyc files, under this suite's filter of warnings."""
    command = [sys.executable, "-W", "error:invalid escape sequence", "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


ORDERS = {
    "dgl after the package": "import infgrand_dgl; import dgl",
    "dgl after the package, neither with torch": (
        "import infgrand_dgl, sys; assert not {'torch', 'dgl'} & sys.modules.keys(); import dgl"
    ),
    "dgl after a part of the package": "from infgrand_dgl import influence_scores; import dgl",
    "torch first": "import torch; import infgrand_dgl; import dgl",
    "after an import of dgl that failed": (
        "import contextlib\nwith contextlib.suppress(ImportError, OSError): import dgl\n"
        "import infgrand_dgl; import dgl"
    ),
    "ogb between them": "import infgrand_dgl; import ogb.nodeproppred; import dgl",
}
USE = """
from infgrand_dgl import influence_scores
from infgrand_dgl.graph import dgl_bridge
assert dgl_bridge.dgl is dgl
graph = dgl.add_self_loop(dgl.rand_graph(20, 60))
assert dgl.sampling.sample_neighbors(graph, [1], 2).num_nodes() == 20
import torch
assert influence_scores(dgl.to_bidirected(graph), torch.rand(20, 4)).shape == (20,)
"""


@pytest.mark.parametrize("order", ORDERS)
def test_orders_of_import(order):
    done = subprocess.run(
        [sys.executable, "-c", ORDERS[order] + USE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


SEEDED = """
import infgrand_dgl, dgl
from infgrand_dgl.graph.convert import as_csr
graph, draws = dgl.add_self_loop(dgl.to_bidirected(dgl.rand_graph(50, 400))), []
for convert in (str, as_csr):
    dgl.seed(5)
    convert(graph)
    draws.append(dgl.sampling.sample_neighbors(graph, [1, 2, 3], 2).edges()[0].tolist())
assert draws[0] == draws[1], draws
"""


def test_a_users_seed_is_left_alone():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SEEDED]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_a_usable_dgl_is_left_alone(tmp_path):
    """Where graphbolt's library fits this torch, and where DGL was imported before."""
    code = (
        "import sys; from importlib.metadata import version; from pathlib import Path\n"
        f"folder = Path({str(tmp_path)!r}, 'dgl', 'graphbolt'); folder.mkdir(parents=True, exist_ok=True)\n"
        "(folder.parent / '__init__.py').write_text('')\n"
        "(folder / '__init__.py').write_text('real = True')\n"
        "torch = version('torch').split('+')[0]\n"
        "if {0}: (folder / f'libgraphbolt_pytorch_{{torch}}.so').touch()\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "if {1}: import dgl\n"
        "import infgrand_dgl, dgl.graphbolt\n"
        "print(hasattr(sys.modules['dgl.graphbolt'], 'real'))"
    )
    for fits, before, real in ((1, 0, True), (0, 0, False), (0, 1, True), (1, 1, True)):
        command = [sys.executable, "-c", code.format(fits, before)]
        for file in tmp_path.rglob("*.so"):
            file.unlink()
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == (f"{real}\n", "")


def test_ogb_asks_nobody_for_its_newest_version(tmp_path):
    """DGL imports ogb: its thread would hold up the end of every process without a network."""
    (tmp_path / "outdated.py").write_text(
        "import time\ndef check_outdated(*_): time.sleep(600)\nhere = True\n"
    )
    code = (
        f"import sys, threading; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import infgrand_dgl, dgl\n"
        "assert 'ogb' in sys.modules and threading.active_count() == 1, threading.enumerate()\n"
        "import outdated; assert outdated.here"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
