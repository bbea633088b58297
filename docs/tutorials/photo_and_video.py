# %% [markdown]
# # Tutorial: the faces of a photo and of a video
#
# You find every face of a photo, write the answers to a table, and follow two people through a
# video. It takes two minutes on two cores and needs `pip install ".[video]" scikit-image`. Both
# photos are free works (NASA, US Navy). One comes with scikit-image, the other with Matplotlib,
# which is installed already.
# This page is a notebook kept as text (`docs/tutorials/photo_and_video.py`).

# %%
import pathlib

import av
import matplotlib
import numpy as np
import skimage.data
from PIL import Image, ImageDraw

import ran_tf

collins = Image.fromarray(skimage.data.astronaut()).crop((110, 0, 330, 256))
sample = pathlib.Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
hopper = Image.open(sample).crop((110, 20, 400, 360))

photo = Image.new("RGB", (640, 360), (70, 90, 110))
photo.paste(collins, (60, 60))
photo.paste(hopper.resize((210, 246)), (370, 70))
photo.save("photo.png")

# %% [markdown]
# ## All faces of a photo
#
# `predictor.faces` takes paths, bytes or arrays, and gives a list of faces for each photo, the
# largest first. If you call the predictor itself, it gives one answer for each photo.

# %%
predictor = ran_tf.Predictor("ran_faceres_shared_ferplus")
(found,) = predictor.faces(["photo.png"])
draw = ImageDraw.Draw(photo)
for face in found:
    y0, x0, y1, x1 = face.box.round().astype(int).tolist()
    said = f"{face.prediction.label} {face.prediction.probability:.0%}"
    print(f"x {x0}-{x1}, y {y0}-{y1}: {said}")
    draw.rectangle((x0, y0, x1, y1), outline="white", width=2)
    draw.text((x0, y1 + 4), said, "white", font_size=18, stroke_width=2, stroke_fill="black")
photo.save("tutorial_photo.png")
assert len(found) == 2

# %% [markdown]
# ![The photo with a box and an answer for each face](../pictures/tutorial_photo.png)
#
# Each item has the `prediction`, the `box` in pixels, the detector's `score`, five `landmarks`, and
# the cut face `image`. A photo without a face gives an empty list. A file that cannot be read raises
# an error. With `on_error="return"` it gives a `Failure` instead, and the other photos go on.

# %%
empty, missing = predictor.faces([np.zeros((96, 96, 3), np.uint8), "no.png"], on_error="return")
print(empty, missing)

# %% [markdown]
# ## Many photos, one table
#
# The table has a row for each face. A file that cannot be used also has a row, with the reason in
# `error`.

# %%
done = ran_tf.predict_to_file(predictor, ["photo.png", "no.png"], "faces.csv", align=True)
print(done.photos, "photos,", done.faces, "faces,", done.failed, "failed")
print(pathlib.Path("faces.csv").read_text().splitlines()[0][:60])

# %% [markdown]
# ## A video
#
# This cell makes a video in which both people move towards each other for two seconds. Leave it out
# if you have a video of your own.

# %%
with av.open("clip.mp4", "w") as out:
    stream = out.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 640, 360, "yuv420p", 4_000_000
    for i in range(20):
        picture = Image.new("RGB", (640, 360), (70, 90, 110))
        picture.paste(collins, (20 + 4 * i, 60))
        picture.paste(hopper.resize((210, 246)), (420 - 4 * i, 70))
        out.mux(stream.encode(av.VideoFrame.from_image(picture)))
    out.mux(stream.encode(None))

# %% [markdown]
# `predictor.video` gives the frames one after the other, so a long video takes no more memory than
# a short one. Each person keeps their number, and `face` is `None` while they are not seen.
# `smoothed` has the probabilities averaged over half a second, or over the time in `smooth`.

# %%
frames = list(predictor.video("clip.mp4", every=0.4))
for frame in frames:
    for person in frame.people:
        if person.face:
            label = predictor.labels[person.smoothed.argmax()]
            print(f"{frame.seconds:.1f} s, person {person.person}: {label}")
assert len(frames) == 5
assert {person.person for frame in frames for person in frame.people} == {1, 2}

# %% [markdown]
# `plot_timeline` draws the same as a figure. Strong lines are smoothed, faint ones show single
# frames.

# %%
figure = ran_tf.plot_timeline(frames, labels=predictor.labels, title="clip.mp4")
figure.savefig("tutorial_timeline.png")

# %% [markdown]
# ![Probabilities of two people over time, with their faces above](../pictures/tutorial_timeline.png)
#
# [People in videos](../guides/videos.md) says how people are told apart and what can go wrong.
# [Many photos](../guides/folders.md) has the commands, and says how to resume an interrupted run.
