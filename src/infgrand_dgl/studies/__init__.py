"""The paper's experiments: which models they train, and what they show."""

NAMES = ("table1", "high-low", "label-scarce", "ablation", "tradeoff", "sensitivity", "measures")
