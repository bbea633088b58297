"""The commands, and the only place that defines or reads a flag."""

from ran_tf.launch.startup import quiet_tensorflow

# Not in `command.run`: processes that a command spawns import this package, and run no command.
quiet_tensorflow()
