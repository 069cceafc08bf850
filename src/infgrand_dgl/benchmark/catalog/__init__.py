"""What `infgrand-dgl benchmark` can measure: one benchmark a file, which imports no torch."""
