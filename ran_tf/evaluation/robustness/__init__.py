"""Accuracy and attention when faces are covered, degraded or turned."""
