"""What the outputs of a network stand for: probabilities of classes, logits of a softmax, or values.

The answer comes from the operations that compute an output in a traced run, and not from the class of the
last module. A softmax in user-written arithmetic is recognised by numbers from 0 on that sum to 1 in every
row; a sigmoid, such as ``1 / (1 + exp(-x))``, is not, and outputs between 0 and 1 are warned of.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.utils.weak import WeakTensorKeyDictionary

from nif.core.errors import InputError
from nif.network.forward import Forward, Inputs, batches, chosen_output
from nif.network.operators import Effect, operator_of
from nif.network.preserve import preserved
from nif.network.tracing import Tracer, traced_run
from nif.network.unit_maps import Call

EXAMPLES = 8
"""Rows of the traced run."""


class Scale(Enum):
    """The scale of an output."""

    PROBABILITY = "probability"
    LOG_PROBABILITY = "log-probability"
    LOGIT = "logit"
    VALUE = "value"


@dataclass(frozen=True)
class Decision:
    """The meaning of one output of a network.

    =================================================  ================  =========
    the output is computed by                          scale             exclusive
    =================================================  ================  =========
    softmax, or two or more numbers that sum to 1      probability       True
    log-softmax                                        log-probability   True
    sigmoid                                            probability       False
    log-sigmoid                                        log-probability   False
    anything else, two or more numbers a row           logit             True
    anything else, one number a row; a regressor       value             False
    =================================================  ================  =========

    One number a row stands for class 1 where its probability is above one half or its value above 0, else
    for class 0. Several sigmoids are independent yes-or-no answers; `classes` takes the most probable one.

    Attributes:
        scale: Of the numbers.
        outputs: Numbers a row.
        exclusive: Whether the numbers of a row describe one choice among classes.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
        >>> str(Decision.of(Forward(net), (torch.zeros(5, 4),)))
        'probability of class 1'
    """

    scale: Scale
    outputs: int
    exclusive: bool = False

    @classmethod
    def of(
        cls,
        call: Forward,
        inputs: Inputs,
        model: Any = None,
        part: Callable[[Tensor, Sequence[Tensor]], Tensor] | None = None,
    ) -> Decision:
        """The decision of a network, from a run on a few rows; the outputs of a regressor are values.

        Args:
            call: Runs the network.
            inputs: Rows of data.
            model: What the user passed, which may be a regressor of scikit-learn.
            part: From the output and the inputs to the part of it that decides, ``[row, output]``, such as
                one position of a sequence; all of it if None.
        """
        scales = _Scales()
        piece = next(batches(call, inputs, EXAMPLES))
        with preserved(call.model):
            with traced_run(call.model, scales):
                returned = call.all_outputs(piece)
            output = chosen_output(returned, call.output)
            rows = (output.reshape(len(output), -1) if part is None else part(output, piece)).double()
        count = rows.shape[1]
        known = None if _is_regressor(model) else scales.of(output)
        if known is None:
            logits = count > 1 and not _is_regressor(model)
            if logits and _sum_to_1(rows):
                return cls(Scale.PROBABILITY, count, exclusive=True)
            if logits and _sum_to_1((-rows).exp()):
                warnings.warn(NEGATIVE, stacklevel=2)
            return cls(Scale.LOGIT if logits else Scale.VALUE, count, exclusive=logits)
        scale, exclusive = known
        total = (rows.exp() if scale is Scale.LOG_PROBABILITY else rows).sum(1)
        # A softmax over another axis, or a part of one, is no distribution over the numbers of a row.
        return cls(scale, count, exclusive and count > 1 and bool(((total - 1).abs() < SUM_ROUNDING).all()))

    def classes(self, outputs: Float[Tensor, "sample output"]) -> Int64[Tensor, " sample"]:
        """The class that each row of outputs stands for.

        Example:
            >>> Decision(Scale.PROBABILITY, 1).classes(torch.tensor([[0.2], [0.7]]))
            tensor([0, 1])
        """
        if outputs.shape[1] > 1:
            return outputs.argmax(dim=1)
        return (outputs[:, 0] > _BOUNDARIES.get(self.scale, 0.0)).long()

    def of_classes(self, outputs: Float[Tensor, "sample output"]) -> Decision:
        """The decision where labels are classes: one value between 0 and 1 in all rows is a probability.

        Example:
            >>> str(Decision(Scale.VALUE, 1).of_classes(torch.tensor([[0.2], [0.7]])))
            'probability of class 1'
        """
        single = self.scale is Scale.VALUE and self.outputs == 1
        return Decision(Scale.PROBABILITY, 1) if single and between_0_and_1(outputs) else self

    def accuracy(self, outputs: Float[Tensor, "sample output"], labels: Int64[Tensor, " sample"]) -> float:
        """The fraction of rows whose class is the label."""
        return float((self.classes(outputs) == labels).double().mean())

    def probabilities(self, outputs: Float[Tensor, "sample output"]) -> Float[Tensor, "sample class"]:
        """The probability of each class, two for one number a row; differentiable, in float32 or more.

        Rows sum to 1, but for outputs that are not exclusive.

        Raises:
            InputError: The outputs are values.

        Example:
            >>> Decision(Scale.LOGIT, 1).probabilities(torch.zeros(1, 1))
            tensor([[0.5000, 0.5000]])
        """
        outputs = self._with_classes(outputs)
        if self.scale is Scale.LOGIT:
            outputs = outputs.softmax(1) if self.outputs > 1 else outputs.sigmoid()
        elif self.scale is Scale.LOG_PROBABILITY:
            outputs = outputs.exp()
        return outputs if self.outputs > 1 else torch.cat([1 - outputs, outputs], dim=1)

    def log_probabilities(self, outputs: Float[Tensor, "sample output"]) -> Float[Tensor, "sample class"]:
        """The logarithm of `probabilities`, in nats, without going through them where that loses digits."""
        if self.scale is Scale.LOGIT:
            logits = self._with_classes(outputs)
            return logits.log_softmax(1) if self.outputs > 1 else logsigmoid(torch.cat([-logits, logits], 1))
        if self.scale is Scale.LOG_PROBABILITY and self.outputs > 1:
            return self._with_classes(outputs)
        return self.probabilities(outputs).log()

    def _with_classes(self, outputs: Float[Tensor, "sample output"]) -> Float[Tensor, "sample output"]:
        if self.scale is Scale.VALUE:
            raise InputError(
                "The output is a value, which has no probabilities; expected an output that ends in a "
                "sigmoid or softmax, or two or more logits."
            )
        return outputs.to(torch.promote_types(outputs.dtype, torch.float32))

    def __str__(self) -> str:
        if self.scale is Scale.VALUE:
            return "a value" if self.outputs == 1 else f"{self.outputs} values"
        if self.outputs == 1:
            return f"{self.scale.value} of class 1"
        names = {Scale.PROBABILITY: "probabilities", Scale.LOG_PROBABILITY: "log-probabilities"}
        many = names.get(self.scale, "logits")
        return f"{many} of {self.outputs} classes" if self.exclusive else f"{self.outputs} independent {many}"


_BOUNDARIES = {Scale.PROBABILITY: 0.5, Scale.LOG_PROBABILITY: math.log(0.5)}
"""Above it one output stands for class 1; 0 for all other scales."""

SUM_BY_HAND = 1e-3
"""How far numbers may sum from 1 that no softmax computes, to be probabilities."""

NEGATIVE = (
    "The outputs are the negative of log-probabilities, so that the smallest stands for the most probable "
    "class, and count as logits, of which the largest does; return the log-probabilities, without the minus."
)

SUM_ROUNDING = 0.02
"""How far probabilities of one distribution may sum from 1, in half precision."""

_SOURCES = {
    **dict.fromkeys(("softmax", "softmin", "gumbel_softmax"), (Scale.PROBABILITY, True)),
    "log_softmax": (Scale.LOG_PROBABILITY, True),
    **dict.fromkeys(("sigmoid", "expit", "hardsigmoid"), (Scale.PROBABILITY, False)),
    **dict.fromkeys(("logsigmoid", "log_sigmoid", "log_expit"), (Scale.LOG_PROBABILITY, False)),
}
"""Functions whose results have a known scale, and whether a row of them may be one distribution."""

_DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")
_CASTS = ("to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda")
_COPIES = ("clone", "contiguous", "data", "detach", "pos", "positive", "requires_grad")
_LIMITS = ("clamp", "clamp_max", "clamp_min", "clip", "nan_to_num")
_KEEPING = frozenset((*_DROPOUTS, *_CASTS, *_COPIES, *_LIMITS))
"""Functions of single numbers that keep the scale; so do all that reshape or select."""


class _Scales(Tracer):
    """The scale of every tensor of a run that holds probabilities."""

    def __init__(self) -> None:
        self._known: Any = WeakTensorKeyDictionary()  # large models have many maps of attention

    def of(self, output: Tensor) -> tuple[Scale, bool] | None:
        """The scale, and whether the numbers of a row may be one distribution; None if unknown."""
        return self._known.get(output)

    def called(self, call: Call) -> None:
        """Note the scale of what a function returns; an in-place function may have ended one."""
        if call.name == "__setitem__":  # some numbers of a tensor, which keeps its scale
            return
        name = call.name.partition(".")[0].lstrip("_")
        scale = _SOURCES.get(name) or self._kept(name, call)
        for tensor in call.written:
            if scale is None:
                self._known.pop(tensor, None)
            else:
                self._known[tensor] = scale

    def _kept(self, name: str, call: Call) -> tuple[Scale, bool] | None:
        """The scale that a function passes on from its inputs."""
        before = [self.of(tensor) for tensor in call.read]
        if not before or before[0] is None:
            return None
        effect = operator_of(name).effect
        scale, exclusive = before[0]
        if name == "log" and scale is Scale.PROBABILITY:
            return Scale.LOG_PROBABILITY, exclusive
        if name == "exp" and scale is Scale.LOG_PROBABILITY:
            return Scale.PROBABILITY, exclusive
        if name == "mean":  # of the members of an ensemble
            return before[0] if scale is Scale.PROBABILITY else None
        if effect is Effect.JOIN and name != "pad":
            same = all(other is not None and other[0] is scale for other in before)
            return (scale, True) if same else None
        reflected = getattr(call.function, "__name__", "") in ("__rsub__", "rsub")
        complement = scale is Scale.PROBABILITY and reflected and call.args[1:2] == (1,)  # 1 - p
        keeps = name in _KEEPING or effect in (Effect.RESHAPE, Effect.SPLIT)
        return before[0] if complement or keeps else None


def _sum_to_1(rows: Float[Tensor, "sample output"]) -> bool:
    """Whether all rows are distributions, as far as rounding lets them be."""
    return bool((rows >= 0).all() and ((rows.sum(1) - 1).abs() < SUM_BY_HAND).all())


def between_0_and_1(outputs: Float[Tensor, "sample output"]) -> bool:
    """Whether all numbers are in the range of probabilities, and not all are the same."""
    low, high = float(outputs.min()), float(outputs.max())
    return 0 <= low < high <= 1


def _is_regressor(model: Any) -> bool:
    if model is None or isinstance(model, nn.Module):
        return False
    from sklearn.base import RegressorMixin

    return isinstance(model, RegressorMixin)
