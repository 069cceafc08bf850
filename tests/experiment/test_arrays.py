"""The arrays in a run directory are those of the run that it holds, whatever it replaced."""

import numpy as np
import pytest

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Reporter

SHORT = ["train.seeds=[1]", "train.epochs=2"]
NOSMOG = ["nosmog.walks=1", "nosmog.dimension=4"]
REPLACED = {
    "inputs that a baseline has too": (["train.baselines=[grand]"], ["propagation.hops=4"]),
    "other settings": ([], ["data.setting=inductive"]),
    "positions": ([], ["method=nosmog", *NOSMOG]),
    "scores of a seed": ([], ["influence.measure=label-reach"]),
    "scores of all": (["influence.measure=label-reach"], ["influence.measure=degree"]),
    "no scores": ([], ["method=glnn"]),
    "a whole graph": (["data.protocol=glnn"], ["data.protocol=published"]),
}


@pytest.mark.parametrize("what", REPLACED)
def test_what_is_served_is_the_runs_own(what, tiny, tmp_path):
    first, change = REPLACED[what]
    arrays = {}
    for name, steps in (("run", [first, [*first, *change]]), ("alone", [[*first, *change]])):
        for overrides in steps:
            config = load_config(tiny, [*SHORT, *overrides])
            train(config, tmp_path / name, overwrite=True, report=Reporter(quiet=True))
        run = RunDirectory.open(tmp_path / name)
        arrays[name] = {file.name: file for file in run.path.rglob("*.npy")}
        for array in ("propagated.npy", "influence.npy"):
            if array in arrays[name]:
                assert run.array(array, 1) == arrays[name][array]
    assert set(arrays["run"]) == set(arrays["alone"])
    for name, file in arrays["alone"].items():
        assert np.array_equal(np.load(file), np.load(arrays["run"][name]), equal_nan=True), name


def test_nodes_of_an_unfinished_run_go_with_it(tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of luck")

    quiet = Reporter(quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr("infgrand_dgl.experiment.train.write", fail)
        with pytest.raises(RuntimeError):
            train(load_config(tiny, [*SHORT, "data.protocol=glnn"]), tmp_path / "run", report=quiet)
    assert (tmp_path / "run.partial/ids.npy").exists()
    train(load_config(tiny, SHORT), tmp_path / "run", resume=True, report=quiet)
    assert not (tmp_path / "run/ids.npy").exists()
