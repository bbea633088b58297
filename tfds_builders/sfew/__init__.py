"""SFEW 2.0: faces of films with seven emotions."""
