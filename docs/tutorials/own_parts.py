# %% [markdown]
# # Tutorial: your own region, attention, loss and backbone
#
# You write four parts, train a network of them on drawn faces, and use it. It takes two minutes on
# two cores. Each part is a function or a layer that you register under a name. The name then works
# like those of the package. [`examples/`](../../examples) has a file for each kind of part, also for
# augmentations, optimizers, detectors and datasets.
# This page is a notebook kept as text (`docs/tutorials/own_parts.py`).

# %%
import keras
import numpy as np
from PIL import Image

import ran_tf

# %% [markdown]
# ## Regions
#
# Regions are boxes `y0, x0, y1, x1` in 0..1, with the whole face first. These boxes are the upper,
# middle and lower part of the face. Reports show their `names`.

# %%
PARTS = ("upper part", "middle part", "lower part")


@ran_tf.register_regions("parts", names=lambda k: PARTS)
def parts(config, landmarks, draw):
    return np.float32([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.25, 0, 0.75, 1], [0.5, 0, 1, 1]])


# %% [markdown]
# ## Attention
#
# An attention is a Keras layer from features f32[b, k, d] to weights f32[b, k] that are not negative.
# The network uses it twice, for self- and for relation-attention, each time with parameters of its
# own. This one is a dense layer with a positive output.


# %%
@ran_tf.register_attention("positive")
class Positive(keras.layers.Layer):
    def build(self, features_shape):
        self.score = keras.layers.Dense(1, activation="softplus", name="score")
        self.score.build(features_shape)

    def call(self, features, region_mask=None):
        return keras.ops.squeeze(self.score(features), axis=-1)


# %% [markdown]
# ## Loss
#
# A loss gives a number for each face, f32[b], which is added to the paper's losses. This one is
# largest if a single region has all the weight.


# %%
@ran_tf.register_loss("share")
def share(outputs, targets, mask):
    return keras.ops.sum(keras.ops.square(outputs["weights"]), axis=-1)


# %% [markdown]
# ## Backbone
#
# A backbone makes features [b, d] from pixels f32[b, h, w, 3] in 0..255, with Keras layers. You need
# not write one for the models of `keras.applications`: use their names, such as `EfficientNetB0`.


# %%
@ran_tf.register_backbone("small")
def small(pixels, *, synchronized):
    x = pixels / 255.0
    for i, filters in enumerate((16, 32, 64)):
        x = keras.layers.Conv2D(filters, 3, strides=2, activation="relu", name=f"conv{i}")(x)
    return keras.layers.GlobalAveragePooling2D(name="pool")(x)


# %% [markdown]
# ## Train with all four
#
# Every setting is checked when it is made: a name that is not registered is an error here, not an
# hour later.

# %%
config = ran_tf.TrainConfig(
    data=ran_tf.DataConfig(
        image_size=(48, 48),
        train_split="train[:256]",
        validation_split="validation[:64]",
        regions=ran_tf.RegionConfig(kind="parts", k=4),
    ),
    model=ran_tf.ModelConfig(backbone="small", attention="positive", size=(32, 32)),
    objective=ran_tf.ObjectiveConfig(losses=("share:0.1",)),
    optimizer=ran_tf.OptimizerConfig(name="adamw", learning_rate=2e-3, ema=0.0),
    batch_size=32,
    epochs=2,
)
run = ran_tf.train(config, workdir="run")
print({name: round(run.metrics[name], 3) for name in ("cross_entropy", "region_loss", "share")})

# %% [markdown]
# Your loss has a column in `run/metrics.csv`. Two epochs of 256 faces teach the network nearly
# nothing, but they show that the parts fit together.
#
# ## Evaluate and use it
#
# Every function and command accepts a work directory as a model.

# %%
report = ran_tf.evaluate("run", "test[:64]")
print(report)
print(report.numbers["regions"]["names"])
assert report.numbers["regions"]["names"][1:] == list(PARTS)

predictor = ran_tf.Predictor("run")
drawn = ran_tf.load_dataset("synthetic_faces", image_size=48, test_split="test[:1]")
face = next(iter(drawn.test))[0]["image"][0].numpy()
(answer,) = predictor([face])
print(answer.label, answer.weights.round(2))
Image.fromarray(ran_tf.annotate_face(face, answer)).save("tutorial_parts.png")
assert np.allclose(answer.boxes[1], [0, 0, 0.5, 1])

# %% [markdown]
# ![A drawn face and your four regions with their weights](../pictures/tutorial_parts.png)
#
# To find out what your part is worth, train the same network without it, and with `k=1`, which is
# the whole face alone. Then compare the runs on the same faces with
# `ran_tf.evaluate("run", baseline="other_run")`. Use several seeds
# ([how a figure is made](../concepts/figures.md)).
#
# ## From the notebook to a file
#
# Move each part into a file, such as `my_parts.py`, so that others can load the network:
#
# ```sh
# python -m ran_tf.launch.train --import=my_parts --regions=parts --num_regions=4 \
#     --attention=positive --losses=share:0.1 --backbone=small --region_size=32 --workdir=run
# python -m ran_tf.launch.predict --import=my_parts --model=run --align photo.jpg
# ```
#
# In Python, write `import my_parts` before you load the network. An export contains the parts in its
# graph, so it only needs the name of the regions. [Add your own part](../guides/extend.md) shows the
# other kinds, and [What you may add](../reference/extending.md) has the contract of each.
