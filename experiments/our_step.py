"""Our training steps, one for each line on stdin (see `compare.py`).

Ours does more than the peers': it augments faces, cuts their regions and averages weights.
"""

import tensorflow as tf
import turns

from ran_tf.benchmark import step as benchmark_step


def main() -> None:
    parser = turns.make_parser(__doc__)
    parser.add_argument("--bfloat16", action="store_true", help="mixed_bfloat16")
    arguments = parser.parse_args()

    _, step = benchmark_step.make_step(
        backbone="resnet18",
        size=arguments.size,
        image_size=arguments.size,
        k=arguments.regions,
        dtype="mixed_bfloat16" if arguments.bfloat16 else "float32",
        strategy=tf.distribute.get_strategy(),
    )
    batch = benchmark_step.random_batch(
        faces=arguments.batch, k=arguments.regions, image_size=arguments.size
    )
    batch = {name: tf.constant(value) for name, value in batch.items()}
    number = tf.constant(1, tf.int64)
    turns.serve_turns(lambda: step(batch, number)["correct"].numpy())


if __name__ == "__main__":
    main()
