import subprocess
import sys

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
