"""What a process need not import, it does not."""

import subprocess
import sys

import pytest

COMMANDS = """
import sys
from infgrand_dgl.cli import main
config = ["--config", sys.argv[1]]
assert main(["data", "describe", *config]) == 0
assert main(["influence", *config, "--out", sys.argv[2] + "/i.npy"]) == 0
assert main(["propagate", *config, "--out", sys.argv[2] + "/x.npy"]) == 0
"""
SERVICE = "import infgrand_dgl.experiment.service, infgrand_dgl.serving.service.app"
MATLAB = "import infgrand_dgl.data.mat"  # a process for each file
HEAVY = ["torch", "dgl", "networkx", "torch._dynamo", "matplotlib", "sklearn"]


@pytest.mark.parametrize(
    ("code", "needed"),
    [(COMMANDS, {"torch"}), (SERVICE, {"torch"}), (MATLAB, set())],
    ids=["influence", "service", "matlab"],
)
def test_only_what_is_needed(code, needed, tiny, tmp_path):
    told = f"{code}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", told, str(tiny), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([name for name in HEAVY if name in needed])
