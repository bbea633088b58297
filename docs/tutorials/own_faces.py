# %% [markdown]
# # Tutorial: train on your own folders of faces
#
# You start from raw photos in folders that are named by their class. You end with a network of your
# own, a report, and a server that reads photos. The tutorial takes three minutes on two cores and
# needs `pip install ".[serve]"`. Work in an empty folder. Each step is a Python call, and the command
# that does the same is below it.
# This page is a notebook kept as text (`docs/tutorials/own_faces.py`).

# %%
import json
import pathlib
import subprocess
import sys
import urllib.request

import keras
import numpy as np
from PIL import Image

import ran_tf

keras.utils.set_random_seed(0)

# %% [markdown]
# ## 1. Photos in folders
#
# Sort your photos into folders like these:
#
# ```text
# photos/train/happy/anything.jpg
# photos/train/bored/deeper/another.png
# photos/test/happy/...
# ```
#
# The first folder is the split: `train`, `validation` or `test`. The second is the class. **Put
# different people into `train`, `validation` and `test`.** If a person is in two of them, the
# measured accuracy is too high. If there is no folder `validation`, every tenth image of each class
# of `train` is held out.
#
# So that this page runs anywhere, it draws its photos: 320 to train and 80 to test, of four classes.
# Each shows a drawn face at a random place, and some test faces are turned or covered. Leave this
# cell out if you have photos of your own.

# %%
CLASSES = ("happiness", "surprise", "sadness", "anger")
COUNTS = {"train": 80, "test": 20}  # of each class
BACKGROUND = (70, 90, 110)

drawn = ran_tf.load_dataset("synthetic_faces", image_size=96, batch_size=32)
place = np.random.default_rng(0)
for split, batches in {"train": drawn.train, "test": drawn.test}.items():
    made = dict.fromkeys(CLASSES, 0)
    for x, y in batches.as_numpy_iterator():
        for face, label in zip(x["image"], y.argmax(axis=-1), strict=True):
            name = drawn.labels[label]
            if made.get(name, COUNTS[split]) == COUNTS[split]:
                continue
            made[name] += 1
            photo = Image.new("RGB", (480, 360), BACKGROUND)
            size = int(place.integers(140, 240))
            corner = (int(place.integers(0, 480 - size)), int(place.integers(0, 360 - size)))
            photo.paste(Image.fromarray(face).resize((size, size)), corner)
            folder = pathlib.Path("photos", split, name)
            folder.mkdir(parents=True, exist_ok=True)
            photo.save(folder / f"{made[name]:03}.jpg", quality=95)
        if min(made.values()) == COUNTS[split]:
            break

# %% [markdown]
# ## 2. Cut the faces out
#
# `align_folder` finds the face of each photo, turns it upright, and writes a square into the same
# sub-folder of `faces`. `faces/report.csv` says what was found in each photo. Skip this step if your
# images are face crops already. [Find faces](../guides/detectors.md) compares the detectors.

# %%
found = ran_tf.align_folder(
    input_dir="photos", output_dir="faces", config=ran_tf.AlignConfig(size=96)
)
print(found.images, "photos,", found.statuses)

sample = "happiness/001"
photo, face = Image.open(f"photos/train/{sample}.jpg"), Image.open(f"faces/train/{sample}.png")
beside = Image.new("RGB", (photo.width + 20 + photo.height, photo.height), "white")
beside.paste(photo, (0, 0))
beside.paste(face.resize((photo.height, photo.height)), (photo.width + 20, 0))
beside.save("tutorial_aligned.png")

# %% [markdown]
# ![A photo with a drawn face, and the face that was cut out of it](../pictures/tutorial_aligned.png)
#
# ```sh
# python -m ran_tf.launch.align --input_dir=photos --output_dir=faces --size=96
# ```
#
# ## 3. Prepare the dataset
#
# `mine` is your name for the dataset. The classes are the sorted names of the folders, or the lines
# of a `labels.txt` beside them. A folder in `test` that `train` does not have is an error, so that a
# misspelling does not become a class. [The dataset's page](../../tfds_builders/folder_faces/README.md)
# has the details. It also says how to report on occluded and turned faces.

# %%
print(ran_tf.prepare("folder_faces/mine", manual_dir="faces", data_dir="data"))
data = ran_tf.load_dataset("folder_faces/mine", data_dir="data", image_size=64, batch_size=32)
print(data.labels)
x, y = next(iter(data.train))
print({name: (value.dtype.name, tuple(value.shape)) for name, value in x.items()}, tuple(y.shape))

# %% [markdown]
# ```sh
# python -m ran_tf.launch.prepare --dataset=folder_faces/mine --manual_dir=faces
# ```
#
# ## 4. Train from a network that knows faces
#
# The network starts from a preset. With `labels` it keeps what it knows about classes of the same
# name, and a new class starts at random. The network is an ordinary Keras model. Unless you give
# other losses, `compile` uses those of the paper: cross-entropy and the region biased loss.

# %%
model = ran_tf.from_preset("ran_faceres_shared_ferplus", labels=data.labels)
model.compile(keras.optimizers.AdamW(3e-4), metrics=["accuracy"])
history = model.fit(data.train, validation_data=data.validation, epochs=2, shuffle=False, verbose=0)
print({name: np.round(values, 2).tolist() for name, values in history.history.items()})

# %% [markdown]
# `fit` is the training loop of Keras. For a real run use the loop of this package, `ran_tf.train`,
# or its command. It augments the faces, averages the weights, keeps the best epoch, and
# [resumes](../guides/resume.md) after an interruption:
#
# ```sh
# python -m ran_tf.launch.train --flagfile=launch/ferplus_mobilenet_ran.flags --target=label \
#     --dataset=folder_faces/mine --init_weights=ran_faceres_ferplus --workdir=runs/mine
# python -m ran_tf.launch.evaluate --workdir=runs/mine --out=report
# ```
#
# - To train on every face of a small folder, without validation, give
#   `--keep=last --validation_split=`.
# - If some classes have few images, `--balanced` draws each class equally often. Judge by
#   `mean_class_accuracy` in `report.json`, because accuracy alone hides the rare classes.
#
# ## 5. Evaluate
#
# The report has the accuracy of every subset with its interval.

# %%
report = ran_tf.evaluate(model, data.test)
print(report)
report.save("report")  # report.json, report.md and the figures
report.plot("confusion").savefig("tutorial_confusion.png")

# %% [markdown]
# ![The confusion matrix of the drawn test faces](../pictures/tutorial_confusion.png)
#
# Drawn faces show that everything works. They say nothing about photographs.
#
# Do the regions help? To find out, train a baseline in the same way, with the same faces and epochs
# but with the whole face alone. The difference is paired, because both networks answer for the same
# faces. If its interval contains 0, it may be chance ([how a figure is made](../concepts/figures.md)).

# %%
alone = ran_tf.load_dataset(
    "folder_faces/mine", data_dir="data", image_size=64, batch_size=32, num_regions=1
)
whole = ran_tf.from_preset("face_faceres_ferplus", labels=data.labels)
whole.compile(keras.optimizers.AdamW(3e-4), metrics=["accuracy"])
whole.fit(alone.train, epochs=2, shuffle=False, verbose=0)
both = report.compare(ran_tf.evaluate(whole, alone.test))
print(both.differences["all"])
both.plot("disagreements").savefig("tutorial_disagreements.png")

# %% [markdown]
# ![The faces on which both networks differ most](../pictures/tutorial_disagreements.png)
#
# ## 6. Keep it and use it
#
# A preset is a folder that `Predictor`, `from_preset` and every command can load, and that
# `ran_tf.upload_preset` sends to a hub. It stores how the training faces were cut, so the faces of
# new photos are cut in the same way.

# %%
model.save_to_preset("mine", data=data, report=report)
predictor = ran_tf.Predictor("mine", align=True)
(answer,) = predictor([f"photos/test/{sample}.jpg"])
print(answer.label, f"{answer.probability:.0%}")

# %% [markdown]
# ```sh
# python -m ran_tf.launch.predict --model=mine --align photos/test
# ```
#
# ## 7. Export and serve it
#
# The server takes whole photos and finds the faces. It runs until it is told to stop. Port 0 means
# any free port.

# %%
written = ran_tf.export("mine", "export")
print(written.path, "largest difference", written.difference)

command = [sys.executable, "-m", "ran_tf.launch.serve", "--model_dir=export"]
with subprocess.Popen(
    [*command, "--rest_port=0", "--grpc_port=-1"], stdout=subprocess.PIPE, text=True
) as server:
    try:
        address = next(line.split()[1] for line in server.stdout if line.startswith("photos:"))
        request = urllib.request.Request(
            address, data=pathlib.Path(f"photos/test/{sample}.jpg").read_bytes()
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            (served,) = json.load(response)["photos"][0]["faces"]
    finally:
        server.terminate()
print(served["label"], f"{served['probability']:.0%}")
assert served["label"] == answer.label

# %% [markdown]
# ```sh
# python -m ran_tf.launch.export --model=mine --export_dir=export
# python -m ran_tf.launch.serve --model_dir=export
# curl --data-binary @photo.jpg http://localhost:8501/v1/photos:predict
# ```
#
# A trained work directory is exported in the same way, with `--workdir=runs/mine`.
# [Export and serve](../guides/serve.md) has the protocols, batches and limits.
# [A server and a phone](export.py) makes the file for a phone, and [Weights](../guides/weights.md)
# says how to share a preset.
#
# ## Test a packaged network on your photos
#
# You can also test a packaged network without training. Cut the photos like its training faces, and
# give the classes in its order.
#
# ```sh
# python -m ran_tf.launch.align --input_dir=photos --output_dir=cut --margin=-0.05 --drop=0.07
# python -c "import ran_tf; print(*ran_tf.LABELS['ferplus'], sep='\n')" > cut/labels.txt
# python -m ran_tf.launch.prepare --dataset=folder_faces/cut --manual_dir=cut
# python -m ran_tf.launch.evaluate --model=ran_faceres_ferplus --dataset=folder_faces/cut --out=report
# ```
