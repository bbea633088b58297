"""What models get right: predictions of a split, reports by subset, robustness, model cards."""
