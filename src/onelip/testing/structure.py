"""Checks of a layer as a module: freezing, saving, copying, randomness."""

from __future__ import annotations

import copy
import pickle
import random

import torch
from torch import Tensor, nn

from ..method import Method
from ..nn.freeze import freeze
from .operator import close
from .setting import Setting
from .subject import inputs, make_layer, new_layer, randomise, require


@torch.no_grad()
def freeze_changes_nothing(method: Method, setting: Setting) -> None:
    """The frozen layer computes what the layer computes in eval mode, in either mode, and shares nothing with it."""
    layer, x = make_layer(method, setting), inputs(setting, 2)
    expected, state = layer(x), _values(layer)
    frozen = freeze(layer, setting.shape.input_shape)
    require(close(frozen(x), expected), "the frozen layer computes something else")
    require(close(frozen.train()(x), expected), "the frozen layer computes something else in training mode")
    thawed = freeze(layer.train(), setting.shape.input_shape)
    require(close(thawed(x), expected), "a layer frozen in training mode has the weights of training")
    require(layer.training, "freezing changed the layer's mode")
    require(_equal(_values(layer), state), "freezing changed the layer's state")
    require(not any(p.requires_grad for p in frozen.parameters()), "a frozen parameter requires gradients")
    randomise(layer)
    require(close(frozen(x), expected), "the frozen layer shares memory with the layer")


@torch.no_grad()
def state_dict_round_trip(method: Method, setting: Setting) -> None:
    """A layer's state, loaded strictly into a fresh layer, gives the same outputs; other states are refused."""
    layer, fresh, x = make_layer(method, setting), new_layer(method, setting, seed=1).eval(), inputs(setting, 2)
    keys = list(fresh.state_dict())
    require(keys == [name for name, _ in fresh.named_parameters()], "the state holds other things than parameters")
    expected = layer(x)
    state = copy.deepcopy(layer.state_dict())
    require(list(state) == keys, "a forward pass changed the state's keys")
    fresh(x)
    fresh.load_state_dict(state, strict=True)
    require(_equal(_values(fresh), state), "the loaded state differs")
    require(torch.equal(fresh(x), expected), "the layer computes something else after loading its state")
    for broken in ({**state, "surplus": x}, {name: state[name] for name in keys[1:]}):
        require(_refuses(fresh, broken), "a state with a missing or a surplus key was loaded")


@torch.no_grad()
def copies_are_independent(method: Method, setting: Setting) -> None:
    """A deep copy and a pickled copy compute the same, and editing them or the layer leaves the others alone."""
    layer, x = make_layer(method, setting), inputs(setting, 2)
    expected = layer(x)
    for name, twin in (("deep copy", copy.deepcopy(layer)), ("pickled copy", pickle.loads(pickle.dumps(layer)))):
        require(torch.equal(twin(x), expected), f"a {name} computes something else")
        require(not twin.training, f"a {name} is in another mode")
        randomise(twin)
        require(not close(twin(x), expected), f"an edited {name} still computes the old output")
        require(torch.equal(layer(x), expected), f"editing a {name} changed the layer")


def deterministic_given_seed(method: Method, setting: Setting) -> None:
    """The same seed gives the same parameters and outputs; a forward pass draws no random numbers."""
    first, second, x = new_layer(method, setting), new_layer(method, setting), inputs(setting, 2)
    require(_equal(_values(first), _values(second)), "two layers made under one seed differ")
    for training in (True, False):
        first.train(training)
        with torch.random.fork_rng(devices=[]):
            before = torch.get_rng_state(), random.getstate()
            output = first(x)
            require(torch.equal(torch.get_rng_state(), before[0]), "a forward pass draws random numbers of torch")
            require(random.getstate() == before[1], "a forward pass draws random numbers of Python")
        require(torch.equal(output, first(x)), "two forward passes differ")
        require(torch.equal(output, second.train(training)(x)), "two layers made under one seed compute differently")


def _values(layer: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in layer.state_dict().items()}


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def _refuses(layer: nn.Module, state: dict[str, Tensor]) -> bool:
    try:
        layer.load_state_dict(state)
    except RuntimeError:
        return True
    return False
