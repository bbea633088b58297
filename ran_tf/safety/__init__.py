"""What comes from strangers: text escaped, files whole or absent, parsers in their own process."""
