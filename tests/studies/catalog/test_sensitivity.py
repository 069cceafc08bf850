"""One setting at a time."""

import pandas as pd
import pytest

from infgrand_dgl.studies.catalog import sensitivity
from tests.studies.made_up import cells, results
from tests.studies.small import cells as small_cells


def test_one_setting_at_a_time():
    (cell,) = small_cells("sensitivity", seeds=[1])
    assert len(cell.students) == sum(map(len, sensitivity.VALUES.values()))
    d = cell.config.distillation
    varied = cell.students["infgrand, gamma2/gamma1=2.0"].distillation
    assert varied.gamma2 == pytest.approx(2 * varied.gamma1)
    assert varied.gamma1 + varied.gamma2 == pytest.approx(d.gamma1 + d.gamma2)


def test_sensitivity_has_a_table_for_each_parameter():
    rows = [
        results({"infgrand": [a]}, case=c)
        for c, a in (("tau=2", 0.8), ("tau=1", 0.7), ("pooling=max", 0.6))
    ]
    lines = sensitivity.tables(pd.concat(rows))
    start = lines.index("### τ")
    assert cells(lines[start + 2])[2:] == ["1", "2"]
    assert cells(lines[start + 4])[2:] == ["70.0", "**80.0**"]
    assert cells(lines[lines.index("### Pooling") + 4])[2:] == ["60.0"]
