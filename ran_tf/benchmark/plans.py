"""What each suite measures. Names of fields are those of the command's flags."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Step:
    """Training steps: every combination of the lists.

    Attributes:
      backbone: name of the backbone.
      region_size: side of a region, pixels.
      image_size: side of the whole face, pixels.
      num_regions: numbers of regions.
      batch_size: global batch sizes.
      dtype: policies.
      replicas: logical devices of a MirroredStrategy; 1 is no strategy.
      sync_batch_norm: batch statistics of all replicas together.
      warmup, repeats: steps that are not counted, and that are.
    """

    backbone: str = "resnet18"
    region_size: int = 224
    image_size: int = 224
    num_regions: tuple[int, ...] = (6,)
    batch_size: tuple[int, ...] = (8,)
    dtype: tuple[str, ...] = ("mixed_bfloat16",)
    replicas: int = 1
    sync_batch_norm: bool = True
    warmup: int = 3
    repeats: int = 10


@dataclasses.dataclass(frozen=True)
class Input:
    """A prepared split that is read.

    Attributes:
      dataset, data_dir, split: of the faces.
      image_size: side that they are brought to, pixels.
      num_regions: random ones of each face.
      batch_size: faces.
      repeats: passes over the split that are timed, each way.
      region_size: side of the regions that are cut for comparison, pixels.
      peer_faces: faces that the Pillow loader reads.
      backbone, dtype: of the training step that waits for batches.
      wait_steps: its steps; 0 leaves the row out.
    """

    dataset: str = "synthetic_faces"
    data_dir: str | None = None
    split: str = "train"
    image_size: int = 64
    num_regions: int = 6
    batch_size: int = 64
    repeats: int = 2
    region_size: int = 224
    peer_faces: int = 64
    backbone: str = "mobilenet_v1"
    dtype: str = "mixed_bfloat16"
    wait_steps: int = 20


@dataclasses.dataclass(frozen=True)
class Crop:
    """Regions that are cut.

    Attributes:
      batch_size: faces.
      num_regions: of each.
      image_size: side of the whole face, pixels.
      region_size: side of a region, pixels.
      backbone, dtype: of the training step that crops are compared with.
      step_batch: faces of that step, whose time a face is taken; 0 leaves the step out.
      warmup, repeats: calls that are not counted, and that are.
    """

    batch_size: int = 64
    num_regions: int = 6
    image_size: int = 224
    region_size: int = 224
    backbone: str = "resnet18"
    dtype: str = "mixed_bfloat16"
    step_batch: int = 8
    warmup: int = 3
    repeats: int = 10


@dataclasses.dataclass(frozen=True)
class Serve:
    """An export that is served.

    Attributes:
      workdir: training run whose kept weights are served; None is a network with random weights, of
        the next four.
      backbone: name.
      region_size: side of a region, pixels.
      image_size: side of the faces that regions are cut from, pixels.
      num_regions: of a face.
      batch_size: faces in a call.
      dtype: policies of the export.
      repeats: calls that are counted, of one face; fewer of large batches.
    """

    workdir: str | None = None
    backbone: str = "mobilenet_v1"
    region_size: int = 128
    image_size: int = 48
    num_regions: int = 6
    batch_size: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    dtype: tuple[str, ...] = ("float32", "mixed_bfloat16")
    repeats: int = 100


SUITES = {"step": Step, "input": Input, "crop": Crop, "serve": Serve}
