# %% [markdown]
# # Tutorial: train, evaluate, keep, use
#
# You train a network on drawn faces in Keras' own way, evaluate it by occlusion and pose, keep it
# as a preset, and use it. It takes a few minutes on two cores. Your own faces go the same way:
# prepare them as [`folder_faces`](../guides/own_faces.md) and change the first argument of
# `load_dataset`.
# This page is a notebook kept as text (`docs/tutorials/train.py`).

# %%
import keras

import ran_tf

keras.utils.set_random_seed(0)
data = ran_tf.load_dataset(
    "synthetic_faces",
    image_size=48,
    batch_size=32,
    train_split="train[:512]",
    validation_split="validation[:128]",
    test_split="test[:256]",
)
print(data.labels)

# %% [markdown]
# Drawn faces are made on first use. A batch is a pair: what the network sees, and what it should
# say.

# %%
x, y = next(iter(data.train))
print({name: (value.dtype.name, tuple(value.shape)) for name, value in x.items()}, tuple(y.shape))

# %% [markdown]
# ## Train
#
# The network starts from a preset that knows photographed faces. With `labels`, it keeps what it
# knows of classes of the same name. `compile` takes the paper's losses: cross-entropy and the
# region biased loss.

# %%
model = ran_tf.from_preset("ran_faceres_shared_ferplus", labels=data.labels)
model.compile(keras.optimizers.AdamW(3e-4), metrics=["accuracy"])
history = model.fit(data.train, validation_data=data.validation, epochs=1, shuffle=False, verbose=0)
print({name: round(values[-1], 3) for name, values in history.history.items()})

# %% [markdown]
# `fit` is Keras' loop. `ran_tf.train(ran_tf.TrainConfig(...), workdir="run")` is this package's: it
# augments, averages weights, and goes on after a kill.
#
# ## Evaluate

# %%
report = ran_tf.evaluate(model, data.test)
print(report)
low, high = report.subsets["all"].accuracy_ci95
print(f"all: {report.subsets['all'].accuracy:.1%} ({low:.1%} to {high:.1%})")

# %% [markdown]
# Always beside it: the network without regions, on the same faces. The difference is paired.

# %%
baseline = ran_tf.evaluate("face_faceres_ferplus", data.test)
both = report.compare(baseline)
print(both.differences["all"])
both.save("report")  # report.json, report.md and the figures
report.plot("region_weights").savefig("region_weights.png")

# %% [markdown]
# This baseline has never seen a drawn face, so the difference says little. A fair baseline is
# trained alike, with `num_regions=1` ([how a figure comes to be](../concepts/figures.md)).
#
# ## Keep it and use it

# %%
model.save_to_preset("mine", data=data, report=report)
predictor = ran_tf.Predictor("mine")
(answer,) = predictor(x["image"][:1].numpy())
print(answer.label, answer.weights.round(2))

# %% [markdown]
# `mine` is a folder that `Predictor`, `from_preset` and every command take, and that
# `ran_tf.upload_preset` sends to a hub. [Export and serve](../guides/serve.md) goes on from here.
