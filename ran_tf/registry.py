"""What goes by a name: backbones, regions, attentions, augmentations, losses and so on.

Ours stand here with the place where they are defined, so that their names are known before anything
is imported; a user's are registered beside them by the `register_*` functions of `ran_tf`, in a
module that a command imports with `--import=MODULE`.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ran_tf.checks import InvalidArgument


class NotRegisteredError(InvalidArgument):
    """A name that nothing goes by, perhaps because the module that registers it is not imported."""

    def reading(self, source: str) -> "NotRegisteredError":
        """The same error of what a file says."""
        return NotRegisteredError(self.name, f"{self.expected}, which {source} needs", self.value)


class Registry:
    """Things of one kind by name.

    Args:
      kind: what these are, for errors: "backbone".
      ours: the package's own: name to "module:attribute".
      beside: what else such a name may be, for errors.
    """

    def __init__(self, kind: str, ours: dict[str, str], *, beside: str = ""):
        self.kind, self.beside = kind, beside
        self._ours = ours
        self._theirs: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        return iter((*self._ours, *self._theirs))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._ours or name in self._theirs)

    @property
    def theirs(self) -> dict[str, Any]:
        """What users registered, by name."""
        return dict(self._theirs)

    def check(self, name: object, *, argument: str) -> None:
        """Raises NotRegisteredError unless something goes by a name."""
        if name not in self:
            raise self.unknown(name, argument=argument)

    def register(self, name: str, thing: Any = None) -> Any:
        """Registers `thing`, or what a decorator stands above; returns it.

        Again with the same name, as in a notebook, takes the new one.

        Raises:
          InvalidArgument: for a name that is none, or one of the package's own.
        """
        if not isinstance(name, str) or not name.isprintable() or not name.strip(" "):
            raise InvalidArgument("name", "printable text", name)
        if set(name) & set(" ,:="):
            raise InvalidArgument("name", "without spaces, commas, colons and =", name)
        if name in self._ours:
            raise InvalidArgument(
                "name", f"different from the names of the package's own {self.kind}s", name
            )

        def add(thing: Any) -> Any:
            self._theirs[name] = thing
            return thing

        return add if thing is None else add(thing)

    def find(self, name: str, *, argument: str | None = None) -> Any:
        """What goes by a name.

        Raises:
          NotRegisteredError: if nothing does; `argument` is what named it, the kind by default.
        """
        self.check(name, argument=argument or self.kind)
        if name in self._theirs:
            return self._theirs[name]
        home, _, attribute = self._ours[name].partition(":")
        # AutoGraph follows what traces a graph into here, and warns that it cannot read importlib.
        module = sys.modules.get(home) or importlib.import_module(home)
        return getattr(module, attribute)

    def unknown(self, name: object, *, argument: str) -> NotRegisteredError:
        """The error of a name that is not registered."""
        return NotRegisteredError(
            argument,
            f"one of {tuple(self)}{self.beside}, or a name that `ran_tf.register_{self.kind}` has "
            "registered: import the module that calls it (commands: --import=MODULE)",
            name,
        )

    def with_numbers(self, texts: Iterable[str], *, argument: str) -> dict[str, float]:
        """Reads names with numbers behind them: ("fog:0.3", "rain") is {"fog": 0.3, "rain": 1.0}.

        Raises:
          InvalidArgument: for a name that is not registered or is there twice, or for no number.
        """
        found = {}
        for text in texts:
            name, _, number = str(text).partition(":")
            self.check(name, argument=argument)
            try:
                value = float(number or 1.0)
            except ValueError:
                raise InvalidArgument(argument, "names, or NAME:NUMBER", text) from None
            if name in found:
                raise InvalidArgument(argument, "different names", text)
            found[name] = value
        return found


BACKBONES = Registry(
    "backbone",
    {
        "resnet18": "ran_tf.models.backbones:resnet18",
        "resnet34": "ran_tf.models.backbones:resnet34",
        "resnet50": "ran_tf.models.backbones:resnet50",
        "vgg16": "ran_tf.models.backbones:vgg16",
        "mobilenet_v1": "ran_tf.models.backbones:mobilenet_v1",
    },
    beside=", the name of a model in keras.applications",
)
REGIONS = Registry(
    "regions",
    {
        "fixed": "ran_tf.regions.kinds:FIXED",
        "grid": "ran_tf.regions.kinds:GRID",
        "random": "ran_tf.regions.kinds:RANDOM",
        "landmarks": "ran_tf.regions.kinds:LANDMARKS",
    },
)
ATTENTIONS = Registry(
    "attention",
    {
        "sigmoid": "ran_tf.models.attention:sigmoid",
        "softmax": "ran_tf.models.attention:softmax",
    },
)
AUGMENTATIONS = Registry("augmentation", {})
LOSSES = Registry("loss", {})
OPTIMIZERS = Registry(
    "optimizer",
    {"sgd": "ran_tf.training.optimizers:sgd", "adamw": "ran_tf.training.optimizers:adamw"},
)
DETECTORS = Registry(
    "detector",
    {
        "blazeface": "ran_tf.faces.blazeface_search:create_search",
        "mtcnn": "ran_tf.faces.mtcnn_search:create_search",
        "retinaface": "ran_tf.faces.retinaface_search:create_search",
        "yunet": "ran_tf.faces.yunet_search:create_search",
    },
)


def register_backbone(name: str, build: Callable | None = None) -> Any:
    """Registers a backbone of your own. Also a decorator.

    Args:
      name: for `RegionAttentionNetwork(backbone=...)` and `--backbone`.
      build: `build(pixels, *, synchronized) -> features`: from a Keras tensor f32[b, h, w, 3] in
        0..255 to one of shape [b, d], of Keras layers; `synchronized` asks for batch statistics
        over all replicas.

    Returns:
      The registered object, or a decorator if none is given.

    Raises:
      InvalidArgument: for a name that is not allowed, or that the package uses itself.

    Example:
      >>> @ran_tf.register_backbone("tiny")
      ... def tiny(pixels, *, synchronized):
      ...     x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(pixels / 255.0)
      ...     return keras.layers.GlobalAveragePooling2D()(x)
    """
    return BACKBONES.register(name, build)


def register_attention(name: str, layer: Callable | None = None) -> Any:
    """Registers an attention over regions of your own. Also a decorator.

    A network has the layer twice, each with its own weights: over the features of the regions, and
    (with relation-attention) over pairs of a region's features and the whole face's features.

    Args:
      name: for `RegionAttentionNetwork(attention=...)` and `--attention`.
      layer: a `keras.layers.Layer`, made as `layer(name="self_attention")`, whose call is
        `call(features f32[b, k, d], region_mask=None) -> weights f32[b, k]`, none negative;
        region_mask bool[b, k] says which regions are there. Weights of other regions are ignored.
        If the layer has a method `log_weights` with the same arguments, it is called instead and
        returns the logarithms of the weights. This is more exact for tiny weights.

    Returns:
      The registered object, or a decorator if none is given.

    Raises:
      InvalidArgument: for a name that is not allowed, or that the package uses itself.

    Example:
      >>> @ran_tf.register_attention("length")
      ... class Length(keras.layers.Layer):
      ...     def call(self, features, region_mask=None):
      ...         return keras.ops.norm(features, axis=-1)
    """
    return ATTENTIONS.register(name, layer)


def register_augmentation(name: str, function: Callable | None = None) -> Any:
    """Registers an augmentation of your own. Also a decorator.

    `AugmentConfig(augmentations=("NAME:AMOUNT",))`, or `--augmentations=NAME:AMOUNT`, then applies
    it after the package's own.

    Args:
      name: name of the new entry.
      function: `f(image, draw, amount) -> image`, in `keras.ops`: image f32[b, H, W, C] in 0..255;
        `draw("chance")` gives f32[b] uniform in 0..1, different for each name and face, and
        `draw("cells", 4)` f32[b, 4]; amount is a number, 1.0 if none is given.

    Returns:
      The registered object, or a decorator if none is given.

    Raises:
      InvalidArgument: for a name that is not allowed, or that the package uses itself.

    Example:
      >>> @ran_tf.register_augmentation("negative")
      ... def negative(image, draw, amount):
      ...     chosen = (draw("chance") < amount)[:, None, None, None]
      ...     return keras.ops.where(chosen, 255.0 - image, image)
    """
    return AUGMENTATIONS.register(name, function)


def register_loss(name: str, function: Callable | None = None) -> Any:
    """Registers a loss of your own, added to those of the paper. Also a decorator.

    `ObjectiveConfig(losses=("NAME:WEIGHT",))`, or `--losses=NAME:WEIGHT`, then trains with it.

    Args:
      name: name of the loss, and of its column in metrics.csv.
      function: `f(outputs, targets, mask) -> f32[b]`, in `keras.ops`: outputs are those of
        `RegionAttentionNetwork`, targets f32[b, n], mask bool[b, k].

    Returns:
      The registered object, or a decorator if none is given.

    Raises:
      InvalidArgument: for a name that is not allowed, or that the package uses itself.

    Example:
      >>> @ran_tf.register_loss("entropy")
      ... def entropy(outputs, targets, mask):
      ...     weights = outputs["weights"]
      ...     return keras.ops.sum(weights * keras.ops.log(weights + 1e-6), axis=-1)
    """
    return LOSSES.register(name, function)


def register_optimizer(name: str, make: Callable | None = None) -> Any:
    """Registers an update rule of your own. Also a decorator.

    Args:
      name: for `OptimizerConfig(name=...)` and `--optimizer`.
      make: `make(config) -> keras.optimizers.Optimizer`, of an `OptimizerConfig`. The loop sets the
        learning rate before every step.

    Returns:
      The registered object, or a decorator if none is given.

    Raises:
      InvalidArgument: for a name that is not allowed, or that the package uses itself.

    Example:
      >>> @ran_tf.register_optimizer("lion")
      ... def lion(config):
      ...     return keras.optimizers.Lion(config.learning_rate, weight_decay=config.weight_decay)
    """
    return OPTIMIZERS.register(name, make)


def register_detector(name: str, make: Callable | None = None) -> Any:
    """Registers a detector of faces of your own. Also a decorator.

    `Predictor(..., align=True, detector="NAME")`, or `--detector=NAME` of `align`, `predict` and
    `demo`, then finds faces with it.

    Args:
      name: name of the new entry.
      make: `make(config, *, threads) -> search`: config a `ran_tf.faces.DetectorConfig`, threads
        how many threads one search may use, None for one a core. `search(photos, min_sides)`
        returns a list of `ran_tf.faces.Face` for each photo, u8[H, W, 3] RGB of any size. Their
        scores are at least `config.min_score`. Faces below min_sides[i] pixels may be left out. The
        caller does the padding, shrinking and mirroring. Several threads may call `search` at once.

    Returns:
      The registered object, or a decorator if none is given.

    Raises:
      InvalidArgument: for a name that is not allowed, or that the package uses itself.

    Example:
      >>> @ran_tf.register_detector("whole")
      ... def whole(config, *, threads):
      ...     points = np.float32([[3, 4], [7, 4], [5, 6], [3.5, 8], [6.5, 8]]) / 10
      ...     def face(h, w):
      ...         return ran_tf.faces.Face(np.float32([0, 0, h - 1, w - 1]), 1.0, points * (w, h))
      ...     return lambda photos, min_sides: [[face(*photo.shape[:2])] for photo in photos]
    """
    return DETECTORS.register(name, make)
