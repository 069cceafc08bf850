import numpy as np

from infgrand_dgl.report.predictions import Predictions
from infgrand_dgl.report.sections import confidence


def test_many_classes_show_their_confusions():
    labels = np.repeat(np.arange(25), 4)
    predicted = np.where(labels == 7, 3, labels)
    student = Predictions(np.arange(100), labels, {"student": np.eye(25)[predicted]})
    section = confidence(student, [f"class {k}" for k in range(25)], 1)
    rows = [list(row) for row in section.tables[0].rows]
    assert rows == [["class 7", "class 3", "4", "100.0"]]
    assert len(section.pictures) == 1
