"""`infgrand-dgl benchmark`: what is fast, measured beside what else there is, in one run."""
