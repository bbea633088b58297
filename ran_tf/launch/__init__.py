"""The commands, and the only place that defines or reads a flag."""
