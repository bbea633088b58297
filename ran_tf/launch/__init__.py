"""The commands, and the only place that defines or reads a flag."""

import os

# Before TensorFlow is imported: its notes and warnings say nothing about the user's work.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
