"""Everything that a training step changes, on any backend."""

import dataclasses

import keras

from ran_tf.config import TrainConfig
from ran_tf.models.ran import RegionAttentionNetwork
from ran_tf.training import optimizers


@dataclasses.dataclass(frozen=True)
class TrainState:
    """A network in training.

    Attributes:
      model: the network that is trained.
      ema: a twin whose weights are the moving average of the model's, or the model itself.
      optimizer: its optimizer.
    """

    model: RegionAttentionNetwork
    ema: RegionAttentionNetwork
    optimizer: keras.optimizers.Optimizer

    def variables(self) -> dict[str, keras.Variable]:
        """All variables by part and place, dropout's generators among them.

        Not by Keras' paths, which count the layers that a process has made.
        """
        parts = {"model": self.model.variables, "optimizer": self.optimizer.variables}
        if self.ema is not self.model:
            parts["ema"] = self.ema.variables
        return {
            f"{part}/{i:04d}": variable
            for part, variables in parts.items()
            for i, variable in enumerate(variables)
        }


def create_state(arguments: dict, *, config: TrainConfig) -> TrainState:
    """A new model, its EMA twin with equal weights, and a built optimizer (call in a scope).

    Args:
      arguments: of `RegionAttentionNetwork`.
      config: of the run: its optimizer, and what is frozen.

    Raises:
      ValueError: for a layer to freeze that the backbone does not have.
    """
    model = RegionAttentionNetwork(**arguments)
    if config.freeze:
        _freeze(model.backbone, last=config.freeze)
    ema = model
    if config.optimizer.ema > 0:
        ema = model.twin()
        ema.trainable = False
    optimizer = optimizers.make_optimizer(config.optimizer, model)
    return TrainState(model=model, ema=ema, optimizer=optimizer)


def _freeze(backbone, *, last: str) -> None:
    names = [layer.name for layer in backbone.layers]
    if last not in names:
        raise ValueError(
            f"`freeze` must be one of the backbone's layers {names}. Received: {last!r}"
        )
    for layer in backbone.layers[: names.index(last) + 1]:
        layer.trainable = False
