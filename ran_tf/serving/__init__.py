"""What an export is made of, how it is checked, and a small server for it."""
