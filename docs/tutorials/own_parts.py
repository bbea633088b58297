# %% [markdown]
# # Tutorial: your own region, attention, loss and backbone
#
# You write four parts, train a network of them on drawn faces, and use it. It takes two minutes on
# two cores. Each part is a function or a layer that gets a name; then the name is a choice like
# those of the package. [`examples/`](../../examples) has a file of each kind, and of augmentation,
# optimizer, detector and dataset.
# This page is a notebook kept as text (`docs/tutorials/own_parts.py`).

# %%
import keras
import numpy as np
from PIL import Image

import ran_tf

# %% [markdown]
# ## Regions
#
# Boxes `y0, x0, y1, x1` in 0..1, the whole face first. These are the upper, middle and lower part.
# `names` are shown in reports.

# %%
PARTS = ("upper part", "middle part", "lower part")


@ran_tf.register_regions("parts", names=lambda k: PARTS)
def parts(config, landmarks, draw):
    return np.float32([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.25, 0, 0.75, 1], [0.5, 0, 1, 1]])


# %% [markdown]
# ## Attention
#
# A Keras layer from features f32[b, k, d] to weights f32[b, k], none of them negative. The network
# has it twice, each time with weights of its own: for self- and for relation-attention. Here it is
# one dense layer, made positive.


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
# A number for each face, f32[b]. It is added to the paper's losses. This one asks that no region
# has all the weight.


# %%
@ran_tf.register_loss("share")
def share(outputs, targets, mask):
    return keras.ops.sum(keras.ops.square(outputs["weights"]), axis=-1)


# %% [markdown]
# ## Backbone
#
# From pixels f32[b, h, w, 3] in 0..255 to features [b, d], of Keras layers. All models of
# `keras.applications` are known by their names already, such as `EfficientNetB0`.


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
# Your loss has a column in `run/metrics.csv`. Two epochs of 256 faces teach nearly nothing: they
# show that the parts fit together.
#
# ## Evaluate and use it
#
# A work directory is a model for every function and command.

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
# To know what your part is worth, train the same without it, and with `k=1`, the whole face alone.
# Then compare on the same faces: `ran_tf.evaluate("run", baseline="other_run")`. Use several seeds
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
# In Python, `import my_parts` comes before the network is loaded. An export holds the parts in its
# graph; only the name of the regions is needed then.
# [Add your own part](../guides/extend.md) shows the other kinds,
# [what you may add](../reference/extending.md) the contract of each.
