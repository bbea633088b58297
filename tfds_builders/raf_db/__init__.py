"""RAF-DB: faces of the web with seven basic emotions."""
