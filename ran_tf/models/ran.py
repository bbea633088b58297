"""The Region Attention Network (Wang et al., TIP 2020, arXiv 1905.04075)."""

import os
from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import layers, ops

import ran_tf
from ran_tf import checks, vocabulary
from ran_tf.backend import Tensor
from ran_tf.config import ObjectiveConfig
from ran_tf.models import attention as region_attention
from ran_tf.models import backbones, shared_trunk
from ran_tf.models.compiled import CompiledNetwork
from ran_tf.regions import crop
from ran_tf.regions.boxes import WHOLE_FACE


@keras.saving.register_keras_serializable("ran_tf")
class RegionAttentionNetwork(CompiledNetwork):
    """A network from a face and its regions to logits and region weights.

    Regions are cut out on the device, folded into the batch, and sent through one shared backbone.
    Self-attention (`mu`) and relation-attention (`nu`) weigh them. With one region this is the
    plain whole-face classifier of the same backbone: the baseline.

    Args:
      backbone: name of a backbone, see `ran_tf.models.backbones.build_backbone`.
      num_classes: number of expressions.
      attention: "sigmoid" (paper), "softmax" (released code), or a registered name.
      relation: False is the ablation without relation-attention: the classifier reads `F_m`.
      size: (height, width) of a region in pixels; of the whole face with `trunk="shared"`.
      trunk: "full": the whole backbone sees every region, as in the paper. "shared": the early
        layers see the whole face once. The late layers see each region, cut out of the feature map
        of the early layers. Region 0 is then the whole face, whatever its box. The weights of one
        trunk fit the other.
      split: name of the last early layer of a shared trunk; None is the backbone's own default.
      region_map: (height, width) of a region's feature map in a shared trunk; None is the size of
        the whole face's map. The whole face always keeps its own size. Smaller maps make many
        regions cheap.
      dropout: dropout rate on the feature that the classifier reads.
      synchronized: compute batch statistics over all replicas.
      portable: crop with gathers on TensorFlow too (for XLA).
      preprocessing: what the backbone does to pixels first. "standard": mean and scale of the
        architecture's usual checkpoints. "unit": RGB in 0..1, with which the authors' checkpoints
        were trained.
      name, dtype: as for every `keras.Model`; the attention computes in float32 under every dtype.

    Call, with a dict:
      image: u8 or f32 [b, H, W, 3] in 0..255, whole faces.
      boxes: f32[b, k, 4], `y0, x0, y1, x1` in 0..1, region 0 the whole face.
      mask: bool[b, k], optional; False regions have a weight of exactly 0.

    Returns a dict, all float32:
      logits [b, n]; mu, nu and weights [b, k]. `weights` sum to 1 over the regions: they are mu nu
      / sum(mu nu), or mu / sum(mu) with `relation=False` (nu is then 1 on every unmasked region).

    Attributes:
      card: `ran_tf.weights.card.ModelCard` of a trained network; None of a new one.

    Raises:
      ValueError: for an argument out of range, an unknown backbone, attention or trunk, or `split`
        or `region_map` without a shared trunk; in a call, for inputs of other shapes or types.

    Example:
      >>> model = ran_tf.RegionAttentionNetwork("mobilenet_v1", num_classes=7, size=(32, 32))
      >>> boxes = np.stack([ran_tf.fixed_boxes(6)] * 2)
      >>> faces = np.zeros((2, 48, 48, 3), np.uint8)
      >>> tuple(model({"image": faces, "boxes": boxes})["weights"].shape)
      (2, 6)
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        num_classes: int = 8,
        *,
        attention: str = "sigmoid",
        relation: bool = True,
        size: tuple[int, int] = (224, 224),
        trunk: str = "full",
        split: str | None = None,
        region_map: tuple[int, int] | None = None,
        dropout: float = 0.0,
        synchronized: bool = False,
        portable: bool = False,
        preprocessing: str = "standard",
        **kwargs: Any,
    ) -> None:
        # Pixels and boxes keep float32 whatever the policy: bfloat16 would make .8984 of .9.
        super().__init__(**{"autocast": False, **kwargs})
        checks.check_choice("trunk", trunk, vocabulary.TRUNKS)
        checks.check_whole("num_classes", num_classes, low=2)
        checks.check_range("dropout", dropout, low=0.0, high=0.99)
        size = checks.check_size("size", size)
        if region_map is not None:
            region_map = checks.check_size("region_map", region_map)
        if trunk == "full" and (split, region_map) != (None, None):
            raise ValueError(
                '`split` and `region_map` must be None unless trunk="shared". '
                f"Received: trunk={trunk!r}, split={split!r}, region_map={region_map!r}"
            )
        self._arguments = {
            "backbone": backbone,
            "num_classes": num_classes,
            "attention": attention,
            "relation": relation,
            "size": size,
            "trunk": trunk,
            "split": split,
            "region_map": region_map,
            "dropout": dropout,
            "synchronized": synchronized,
            "portable": portable,
            "preprocessing": preprocessing,
        }
        self.card: Any = None  # a `weights.card.ModelCard`
        self.size = size
        self.relation = relation
        self.portable = portable
        self.crop = crop.RegionCrop(self.size, portable=portable, name="crop")
        self.backbone = backbones.build_backbone(
            backbone,
            size=self.size,
            dtype=self.dtype_policy,
            synchronized=synchronized,
            preprocessing=preprocessing,
        )
        self._stages = None
        if trunk == "shared":
            self._stages = shared_trunk.split_backbone(
                self.backbone, split=split, region_map=region_map
            )
        elif trunk != "full":
            raise checks.unknown("trunk", trunk)
        features = self.backbone.output_shape[-1]
        self.self_attention = region_attention.make_attention(
            attention, features=features, name="self_attention"
        )
        if relation:
            self.relation_attention = region_attention.make_attention(
                attention, features=2 * features, name="relation_attention"
            )
        self.dropout = layers.Dropout(dropout, dtype="float32", name="dropout")
        self.classifier = layers.Dense(num_classes, dtype="float32", name="classifier")
        self._build_weights()

    def _build_weights(self) -> None:
        """Weights exist from construction on, so that `load_weights` needs no first batch."""
        features = self.backbone.output_shape[-1]
        face = 2 * features if self.relation else features
        self.dropout.build((None, face))
        self.classifier.build((None, face))
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Nothing is left to build: the constructor made every weight."""

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        *,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.export`. By default, for faces of `size` with any regions and no mask.

        `ran_tf.export` writes what serves: with the regions, labels and checks of a trained model.
        """
        if input_signature is None:
            input_signature = [
                {
                    "image": keras.InputSpec(dtype="float32", shape=(None, *self.size, 3)),
                    "boxes": keras.InputSpec(dtype="float32", shape=(None, None, 4)),
                }
            ]
        super().export(filepath, format, input_signature=input_signature, **kwargs)

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> dict[str, Tensor]:
        _check_inputs(inputs)
        boxes = inputs["boxes"]
        regions = self.cut_regions(inputs["image"], boxes)
        return self.classify_regions(regions, boxes, mask=inputs.get("mask"), training=training)

    def cut_regions(self, image: Tensor, boxes: Tensor) -> Tensor:
        """The pixels that the backbone sees: f32[b, k, h, w, 3] of `size`, in 0..255.

        With a shared trunk f32[b, 1, h, w, 3]: the whole face.
        """
        if self._stages is None:
            return self.crop(image, boxes)
        return self.crop(image, ops.convert_to_tensor([WHOLE_FACE]))

    def classify_regions(
        self,
        regions: Tensor,
        boxes: Tensor,
        *,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> dict[str, Tensor]:
        """Returns what a call returns, from the result of `cut_regions`.

        Boxes that are the same for all faces may be a NumPy array f32[k, 4].
        """
        features = self._features(regions, boxes, training=training)
        log_mu = region_attention.log_weights(self.self_attention, features, mask)
        own = region_attention.normalise(log_mu, mask)
        anchor = region_attention.weighted_sum(own, features)
        mu = ops.exp(log_mu)
        if self.relation:
            pairs = ops.concatenate(
                [features, ops.broadcast_to(anchor[:, None], ops.shape(features))], axis=-1
            )
            log_nu = region_attention.log_weights(self.relation_attention, pairs, mask)
            nu = ops.exp(log_nu)
            weights = region_attention.normalise(log_mu + log_nu, mask)
            face = region_attention.weighted_sum(weights, pairs)
        else:
            nu = ops.ones_like(mu) if mask is None else ops.cast(mask, "float32")
            weights, face = own, anchor
        logits = self.classifier(self.dropout(face, training=training))
        return {"logits": logits, "mu": mu, "nu": nu, "weights": weights}

    def region_features(
        self, image: Tensor, boxes: Tensor, *, training: bool | None = None
    ) -> Tensor:
        """Backbone features of every region: f32[b, k, d]."""
        return self._features(self.cut_regions(image, boxes), boxes, training=training)

    def _features(self, regions, boxes, *, training):
        if self._stages is None:
            folded = ops.reshape(regions, (-1, *self.size, 3))
            features = self.backbone(folded, training=training)
        else:
            features = shared_trunk.shared_features(
                self._stages, regions[:, 0], boxes, training=training, portable=self.portable
            )
        features = ops.cast(features, "float32")
        return ops.reshape(features, (-1, ops.shape(boxes)[-2], features.shape[-1]))

    def twin(self, **changes: Any) -> Self:
        """A network with equal weights and some arguments changed, such as `dtype`."""
        other = type(self).from_config({**self.get_config(), **changes})
        other.set_weights(self.get_weights())
        other.card = self.card
        return other

    @property
    def arguments(self) -> dict:
        """Arguments that make an equal network, as a card has them."""
        return {**self._arguments, "dtype": self.dtype_policy.name}

    @property
    def loss_margin(self) -> float:
        """Margin of the region biased loss in training, as a card has it."""
        known = self.card.loss_margin if self.card is not None else ObjectiveConfig.margin
        return known if self._objective is None else self._objective.margin

    @classmethod
    def from_preset(
        cls,
        name: str | os.PathLike,
        num_classes: int | None = None,
        labels: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> "RegionAttentionNetwork":
        """As `ran_tf.from_preset`."""
        return ran_tf.from_preset(name, num_classes=num_classes, labels=labels, **kwargs)

    def save_to_preset(self, path: str | os.PathLike, **kwargs: Any) -> dict[str, Any]:
        """As `ran_tf.save_to_preset`."""
        return ran_tf.save_to_preset(self, path, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._arguments}


def _check_inputs(inputs) -> None:
    """Raises ValueError unless a network can be called with this, as far as shapes are known."""
    given = inputs if isinstance(inputs, dict) else {}
    if given.get("image") is None or given.get("boxes") is None:
        names = sorted(given) if given is inputs else type(inputs).__name__
        raise ValueError(
            '`inputs` must be a dict {"image": [b, H, W, 3], "boxes": [b, k, 4], "mask": [b, k], '
            f"which may be left out}}. Received: {names}"
        )
    ranks = {"image": 4, "boxes": 3, "mask": 2}
    shapes = {name: tuple(inputs[name].shape) for name in ranks if inputs.get(name) is not None}
    for name, shape in shapes.items():
        if len(shape) != ranks[name]:
            raise ValueError(
                f"`{name}` must have {ranks[name]} axes, see RegionAttentionNetwork. "
                f"Received: {name}.shape={shape}"
            )
    boxes, mask = shapes["boxes"], shapes.get("mask")
    # Other shapes would be broadcast, and weigh regions that are not theirs.
    if mask is not None and any(
        None not in pair and len(set(pair)) > 1 for pair in zip(mask, boxes[:2], strict=True)
    ):
        raise ValueError(
            "`mask` must have an entry for each box. "
            f"Received: mask.shape={mask}, boxes.shape={boxes}"
        )
