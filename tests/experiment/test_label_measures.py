"""Runs whose influence is made of the labels that train."""

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError, influence_scores
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.system.arrays import load_array

SMALL = ["train.epochs=3", "data.label_rate=0.5"]


@pytest.mark.parametrize("measure", ["label-reach", "renode"])
def test_every_seed_has_its_own(measure, tiny, tmp_path):
    config = load_config(tiny, [f"influence.measure={measure}", *SMALL])
    train(config, tmp_path / "out", report=Reporter(quiet=True))
    assert not (tmp_path / "out/influence.npy").exists()
    found = {}
    for seed in config.train.seeds:
        folder, dataset = tmp_path / f"out/seed-{seed}", load_dataset(config, seed)
        labels = torch.full_like(dataset.labels, -1)
        labels[dataset.train] = dataset.labels[dataset.train]
        expected = influence_scores(
            dataset.csr,
            dataset.features,
            measure=measure,
            logits=torch.from_numpy(load_array(folder / "teacher_logits.npy")),
            labels=labels,
        )
        found[seed] = load_array(folder / "influence.npy")
        assert found[seed] == pytest.approx(expected.numpy(), rel=1e-5)
    one, other = found.values()
    assert not np.array_equal(one, other)


def test_other_labels_are_other_scores(tiny, tmp_path, capsys):
    """What is there is taken for the same labels alone."""
    out = tmp_path / "out"
    config = load_config(tiny, ["influence.measure=label-reach", *SMALL, "train.seeds=[1]"])
    train(config, out, report=Reporter())
    train(config, out, report=Reporter(), overwrite=True)
    assert "influence                    reused" in capsys.readouterr().out
    before = load_array(out / "seed-1/influence.npy")
    fewer = config.replace("data", label_rate=0.3)
    train(fewer, out, report=Reporter(), overwrite=True)
    assert "influence                    reused" not in capsys.readouterr().out
    assert not np.array_equal(load_array(out / "seed-1/influence.npy"), before)


def test_labels_are_not_chosen_by_what_is_made_of_them(tiny):
    told = "data.label_choice: high: chooses the labels of which influence.measure: label-reach is made"
    with pytest.raises(InputError, match=told):
        load_config(tiny, ["influence.measure=label-reach", *SMALL, "data.label_choice=high"])
