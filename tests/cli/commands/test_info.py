import torch

from ..conftest import run


def test_info(capsys):
    status, output, _ = run(capsys, "info")
    assert status == 0 and "cpu: loaded" in output and torch.__version__ in output
