"""What `compile`, `fit` and `evaluate` do with a network whose outputs are a dict."""

import dataclasses
import functools
from typing import Any

import keras
from keras import ops

from ran_tf.augment import bank as banks
from ran_tf.backend import Tensor
from ran_tf.config import ObjectiveConfig
from ran_tf.models import objective as objectives
from ran_tf.models import targets


class CompiledNetwork(keras.Model):
    """A network of {"logits" [b, n], "mu" [b, k], ...} that Keras' verbs train on labels alone."""

    _objective: ObjectiveConfig | None = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *,
        objective: ObjectiveConfig | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`, with the paper's losses unless others are given.

        `fit` and `evaluate` then take labels alone as targets, f32[b, n], one-hot or vote shares.
        A dict of targets by output works too.

        Args:
          optimizer: as in Keras.
          loss: of the logits, or a dict of losses by output; None is cross-entropy and
            `RegionBiasedLoss`.
          objective: in place of `loss`: what `ran_tf.train` trains for, augmentation, mixup and
            region dropout included. The inputs then need "key", as `ran_tf.load_dataset` gives it.
          metrics, weighted_metrics: of the logits, or a dict of lists by output.
          **kwargs: as in Keras.

        Raises:
          ValueError: for an output that does not exist, a loss of probabilities on logits, or both
            `loss` and `objective`.
        """
        if objective is not None and loss is not None:
            raise ValueError(
                f"`loss` must be None with an objective, which has its own. Received: loss={loss!r}"
            )
        self._objective = objective
        if objective is not None:
            bank = banks.of_objective(objective, seed=0)
            # In a partial, where Keras does not take the bank for a part of the network.
            self._prepare = functools.partial(
                objectives.prepare,
                config=objective,
                bank={name: ops.convert_to_tensor(array) for name, array in bank.items()},
            )
        loss = targets.by_output("loss", loss) or targets.paper_losses()
        targets.check_logits_loss(loss.get("logits"))
        metrics = targets.by_output("metrics", metrics)
        weighted_metrics = targets.by_output("weighted_metrics", weighted_metrics)
        self._measured = tuple(dict.fromkeys([*(metrics or ()), *(weighted_metrics or ())]))
        super().compile(
            optimizer, loss, metrics=metrics, weighted_metrics=weighted_metrics, **kwargs
        )

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        if self._objective is not None:
            config = {**config, "loss": None, "objective": dataclasses.asdict(self._objective)}
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        config = dict(config)
        chosen = config.pop("objective", None)
        self.compile(
            objective=chosen and ObjectiveConfig.from_dict(chosen),
            **keras.saving.deserialize_keras_object(config),
        )
        self.optimizer.build(self.trainable_variables)

    def train_step(self, *state_and_data: Any) -> Any:
        # TensorFlow's has the data alone, JAX' a state before it.
        *state, data = state_and_data
        if self._objective is not None:
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            shown = self._prepare(x, targets.labels(y))
            data = shown["inputs"], shown["targets"], sample_weight
        return super().train_step(*state, data)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        if self._objective is not None:
            terms = objectives.terms(
                y_pred,
                targets.labels(y),
                x.get("mask"),
                config=self._objective,
                covered=self._covered(x),
            )
            total = objectives.total(terms, config=self._objective)
            return targets.mean_over_faces(total, sample_weight=sample_weight)
        return super().compute_loss(
            x,
            *targets.of_outputs(self.loss, x=x, y=y, y_pred=y_pred, sample_weight=sample_weight),
            training=training,
        )

    def _covered(self, x: dict) -> Tensor:
        """Faces that `fit` did not prepare, those of `evaluate`, are as they are: not covered."""
        given = x.get("covered")
        return ops.zeros(ops.shape(x["boxes"])[:2]) if given is None else given

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Tensor | None = None
    ) -> dict[str, Any]:
        return super().compute_metrics(
            x,
            *targets.of_outputs(
                self._measured, x=x, y=y, y_pred=y_pred, sample_weight=sample_weight
            ),
        )
