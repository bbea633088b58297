"""The vocabulary of the package: axis letters, feature keys and the emotion order of each dataset.

Axes, as they are named wherever a shape is written or unpacked:
    b batch, k regions (region 0 is the whole face), h w c pixels, d backbone features, n classes.
"""

# Emotion orders differ between datasets, and a model read in the wrong order is worthless: these
# tuples are in index order and are asserted against the builders' ClassLabel names on loading.
_FERPLUS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)
_AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
_RAF_DB = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
_FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_SFEW = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")

LABELS: dict[str, tuple[str, ...]] = {
    "ferplus": _FERPLUS,
    "synthetic_faces": _FERPLUS,
    "fer2013": _FER2013,
    "raf_db": _RAF_DB,
    "affectnet": _AFFECTNET,
    "affectnet7": _AFFECTNET[:7],
    "sfew": _SFEW,
}

# What covers the face, as in the last column of the authors' FERPlus list (0..3 there).
OCCLUSIONS = ("none", "upper", "lower", "side", "glasses")
# What of a face each of them covers, roughly: y0, x0, y1, x1 as fractions of the face, whose eyes
# are at 0.38 and whose mouth is at 0.78. Which side, the lists do not tell.
OCCLUDED_AREAS = {
    "upper": (0.0, 0.0, 0.35, 1.0),
    "lower": (0.55, 0.0, 1.0, 1.0),
    "glasses": (0.27, 0.0, 0.49, 1.0),
}
# With what AffectNet's list leaves open.
OCCLUSION_KINDS = (*OCCLUSIONS, "unspecified")

# Columns of the paper's tables. "occlusion" are the faces whose occlusion is not "none".
SUBSETS = ("all", "occlusion", "pose_30", "pose_45")

# Whether the whole backbone sees every region, or its early layers the whole face only.
TRUNKS = ("full", "shared")
# Of pixels in 0..255, before the first convolution: "standard" is what the usual checkpoints of an
# architecture were trained with, "unit" is RGB in 0..1, as the authors' loader made it.
PREPROCESSINGS = ("standard", "unit")
# Numbers of fixed regions that each variant has, the whole face included; 1 is the baseline.
REGION_VARIANTS = {"paper": (1, 6), "released": (1, 6, 8)}
# Regions of a grid, those of the paper included, to squares in a row.
GRID_SIZES = {1: 0, **{6 + n * n: n for n in range(2, 9)}}
TARGETS = ("votes", "label")
# Kinds of occluders that training draws, see `augment.drawings`.
COVERS = (
    "mask",
    "sunglasses",
    "glasses",
    "mask and glasses",
    "hand",
    "two hands",
    "hair",
    "hat",
    "scarf",
    "phone",
    "cup",
    "microphone",
    "bar",
    "other face",
)

VISIBILITY_LOSSES = ("kl", "own", "rank")
SCHEDULES = ("cosine", "step", "constant")
# Which epoch's weights a run leaves.
KEEPS = ("best", "last")
# Policies of a network: float16 would need its loss scaled; bfloat16 has float32's range.
DTYPES = ("float32", "mixed_bfloat16")

# What computes a network's answers: ONNX Runtime, or Keras on TensorFlow.
ENGINES = ("auto", "onnx", "keras")

# In what a file of ONNX or LiteRT may be stored in place of float32.
QUANTISED = ("int8", "float16")

# How a dataset frames its faces where nothing with it says so, as `margin` and `drop` of
# `faces.align.align_face`: a photo cut like this looks like the faces that a model was trained on.
# FERPlus, whose images FER2013 has: medians over 70 training faces on which MTCNN found the
# landmarks. Synthetic faces: medians over the training faces, whose landmarks are known.
CROPS = {"fer2013": (-0.05, 0.07), "ferplus": (-0.05, 0.07), "synthetic_faces": (0.09, 0.0)}

# Datasets whose faces are grey, though the card of a network of theirs may say "rgb": it was noted
# in presets only.
GREY = ("fer2013", "ferplus")

# The five points of `landmarks`, x and y in 0..1; "left" is the left of the image.
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
