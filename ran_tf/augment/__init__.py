"""What happens to faces in training: faces and named random numbers in, changed faces out."""

# Before any file of this room: `ran_tf` registers the network when Keras is first imported, and the
# network needs these files whole.
import keras  # noqa: F401
