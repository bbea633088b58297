"""Converts weights of other projects into a file for `train --init_weights`.

    python -m ran_tf.launch.convert --source=faceres.json --format=faceres_tfjs \\
        --faces=ferplus/FER2013Train --size=161 --out=mobilenet_v1.weights.h5
    python -m ran_tf.launch.convert --source=ijba_res18_naive.pth.tar --format=ms1m_torch \\
        --out=resnet18.weights.h5
    python -m ran_tf.launch.convert --source=checkpoint_40.pth.tar --format=ran_torch \\
        --out=ran.weights.h5
"""

from absl import flags

from ran_tf import registry, vocabulary
from ran_tf.launch import command, terminal
from ran_tf.weights.convert import FORMATS


def define_flags() -> None:
    """Not on import: other commands have flags of the same names."""
    flags.DEFINE_string("source", None, "File to convert.", required=True)
    flags.DEFINE_enum("format", None, sorted(FORMATS), "Its format.", required=True)
    flags.DEFINE_string("out", None, "File to write, *.weights.h5.", required=True)
    flags.DEFINE_enum(
        "attention",
        None,
        list(registry.ATTENTIONS),
        "Attention of a ran_torch network, because the file does not say. When absent, that of "
        "the released code: softmax with relation-attention, sigmoid without.",
    )
    flags.DEFINE_enum(
        "preprocessing",
        None,
        vocabulary.PREPROCESSINGS,
        "Preprocessing of the pixels that --source was trained on. When absent, that of the "
        "format: unit (RGB in 0..1) for ran_torch and ms1m_torch.",
    )
    flags.DEFINE_bool(
        "allow_partial",
        False,
        "Go on if there are unknown tensors or variables without a tensor. Both are reported.",
    )
    flags.DEFINE_string(
        "faces",
        None,
        "Folder of face images, such as a training set. Its sub-folders are searched, too. Folded "
        "batch normalisations get the statistics of these faces. Do this before training.",
    )
    flags.DEFINE_integer(
        "num_faces",
        512,
        "Number of --faces that are measured, spread evenly over the sorted file names.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "size",
        128,
        "Side that --faces are resized to, pixels: that of the later training.",
        lower_bound=32,
    )


def main() -> None:
    values = flags.FLAGS
    # Heavy imports wait until the flags are known to be good.
    import ran_tf

    converted = ran_tf.convert_weights(
        **command.chosen(
            *("source", "out", "format", "attention", "preprocessing", "allow_partial"),
            *("num_faces", "size"),
        ),
        faces=values.faces or None,
    )
    for name, reason in converted.left_out.items():
        terminal.say(f"left out: {name} ({reason})")
    for name in converted.fresh:
        terminal.say(f"not in the source, initialised at random: {name}")
    if values.faces:
        terminal.say(f"measured the batch normalisations on faces of {values.faces}")
    terminal.say(f"wrote {values.out} ({converted.model.count_params():,} parameters)")
    # The flags of `train` that the weights need have the names of the arguments.
    arguments = ", ".join(f"{key}={value!r}" for key, value in converted.arguments.items())
    terminal.say(f"train with: {arguments}")


if __name__ == "__main__":
    command.run(main, define_flags=define_flags)
