"""Follow a run of a model: every module and every torch function, with its name, as it is called.

A run is followed, rather than a program exported before it, because a run shows what the user's network
does: modules used several times, functional and in-place activations, wrapped and compiled modules, paths
chosen by the data. All hooks are gone when the block ends, errors included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nif.core.errors import InputError, ran_out_of_memory
from nif.network.activations import hides_functions
from nif.network.hints import hint
from nif.network.operators import NONLINEAR_MODULES, function_name, operator_of
from nif.network.preserve import eager
from nif.network.unit_maps import Call, tensors_in

CALL_SEPARATOR = "#"
"""Between a name and its number when a module is called more than once: ``relu``, ``relu#2``."""


class Tracer:
    """Is called with the steps of a run; does nothing by itself.

    Attributes:
        inside: Name of the module that is running, the innermost one.
    """

    inside: str = ""

    def step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        """A module, or a function that may be an activation, has been called."""

    def called(self, call: Call) -> None:
        """Any torch function has been called; for one that may be an activation `step` is called too."""

    def axis_of(self, values: Tensor) -> int | None:
        """The axis of the units of a tensor; None where they are not followed."""


@contextmanager
def traced_run(model: nn.Module, watcher: Tracer, *, only: Collection[str] | None = None) -> Iterator[None]:
    """Call `watcher` with every step of a model that is run inside, or with modules of some names only.

    Raises:
        InputError: The model does not take the data; names the module that failed and what it was passed.
    """
    run = _Run(model, watcher)
    with _hooks(model, run, only), eager():
        try:
            with run if only is None else nullcontext():
                yield
        except InputError:
            raise
        except Exception as error:
            if ran_out_of_memory(error):
                raise
            raise InputError(run.failed(error)) from error


class _Run(TorchFunctionMode):
    """Names what is called, and passes it on."""

    def __init__(self, model: nn.Module, watcher: Tracer) -> None:
        super().__init__()
        self._root = model
        self._watcher = watcher
        self._modules = frozenset(name for name, _ in model.named_modules())
        self._inside: list[_Running] = []
        self._calls: Counter[str] = Counter()
        self._own = False  # what a watcher itself calls is not part of the run

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = function(*args, **(kwargs or {}))
        if not self._own:
            name, given = function_name(function), (args, kwargs)
            read = tensors_in(given)
            written = tensors_in(returned) or (read[:1] if name == "__setitem__" else [])
            axes = tuple(map(self._watcher.axis_of, read))
            call = Call(name, function, tuple(args), kwargs or {}, tuple(read), axes, tuple(written))
            self._watcher.called(call)
            operator = operator_of(name)
            if operator.nonlinear or operator.bends:
                self._named_function(name, given, returned, nonlinear=operator.nonlinear)
        return returned

    def enter(self, name: str, module: nn.Module, args: Any) -> None:
        if self._own:
            return
        if not self._inside:
            self._calls.clear()  # the next batch begins
        self._inside.append(_Running(name, module, hides_functions(module, self._root), args))
        self._watcher.inside = name

    def leave(self, module: nn.Module, args: Any, kwargs: Any, returned: Any) -> None:
        if self._own:
            return
        call = self._inside.pop()
        while call.module is not module:  # the model caught an exception of a part of its own
            call = self._inside.pop()
        self._watcher.inside = self._inside[-1].name if self._inside else ""
        if call.module is self._root:
            return
        nonlinear = isinstance(call.module, NONLINEAR_MODULES) or call.called_nonlinear
        self._step(call.name, type(call.module).__name__, (args, kwargs), returned, nonlinear=nonlinear)

    def failed(self, error: Exception) -> str:
        """One sentence on where and why the run broke off."""
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        where = self._inside[-1] if self._inside else None
        given = [] if where is None else [part for part in where.args if isinstance(part, Tensor)]
        advice = hint(where.module, given[0]) if where is not None and given else ""
        if where is None or where.module is self._root:
            advice = advice or " Pass inputs in the form it was trained on."
            return f"The model failed on these data: {reason}.{advice}"
        shapes = ", ".join(str(list(part.shape)) for part in given)
        advice = advice or " Pass inputs in the form the model was trained on."
        return (
            f"The model failed on these data: module {where.name!r}, {where.module}, was given "
            f"{shapes or 'no tensor'}: {reason}.{advice}"
        )

    def _named_function(self, name: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        inner = self._inside[-1] if self._inside else None
        if inner is not None and inner.whole:
            own = not type(inner.module).__module__.startswith("torch.nn.modules")
            inner.called_nonlinear |= nonlinear and own
            return
        full = f"{inner.name}.{name}" if inner is not None and inner.name else name
        # A function may be called as a module is named: self.relu(x) here, F.relu(x) there.
        self._step(f"{full}()" if full in self._modules else full, name, given, returned, nonlinear=nonlinear)

    def _step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        self._calls[name] += 1
        again = self._calls[name]
        self._own = True
        try:
            full = name if again == 1 else f"{name}{CALL_SEPARATOR}{again}"
            self._watcher.step(full, kind, given, returned, nonlinear=nonlinear)
        finally:
            self._own = False


@dataclass
class _Running:
    """A module that is running."""

    name: str
    module: nn.Module
    whole: bool
    args: Any
    called_nonlinear: bool = False


@contextmanager
def _hooks(model: nn.Module, run: _Run, only: Collection[str] | None) -> Iterator[None]:
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if only is None or name in only or module is model:
                hooks.enter_context(module.register_forward_pre_hook(partial(run.enter, name)))
                hooks.enter_context(module.register_forward_hook(run.leave, with_kwargs=True))
        yield


@contextmanager
def unfused() -> Iterator[None]:
    """Inside, encoders run their modules one by one: a fused kernel calls no module, and no hook."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
