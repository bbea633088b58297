"""What happens to faces in training: faces and named random numbers in, changed faces out."""
