"""What float32 adds to the logits at most, as networks grow wider and deeper, and which of their layers adds it.

    python benchmarks/rounding.py                              # about three minutes on two cores
    python benchmarks/rounding.py --methods aol,soc --widths 8 --sides 8

Networks are as initialised, inputs uniformly random: what is charged rests on weights and activations, and that of
trained networks is in their `arithmetics.json`. Prints a table in Markdown. A wider network has more products per sum;
an image of twice the side is a network of five more layers with weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from onelip.__main__ import keep_memory
from onelip.cli import options
from onelip.cli.errors import clear_errors

if TYPE_CHECKING:
    from onelip import ConvNet

METHODS = "aol,bcop,cpl,sll,cayley,lot,soc"
IMAGES = 16
ALL_OF_THEM = None


def main(
    *,
    methods: Annotated[str, typer.Option(help="Names, separated by commas.")] = METHODS,
    widths: Annotated[str, typer.Option(help="Widths w of the networks, separated by commas.")] = "8,16,32",
    sides: Annotated[str, typer.Option(help="Sides of the images: 8, 16, 32 ...")] = "8,16,32",
) -> None:
    """Bounds fresh networks, and prints what is charged for their rounding."""
    keep_memory()
    with clear_errors():
        networks = _networks(methods, *(_numbers(*one) for one in (("--widths", widths), ("--sides", sides))))
        heads = ("Method", "Width", "Side", "Layers", "Charged", "Sums over all", "3x3 layers, %", "Head, %")
        typer.echo("| " + " | ".join(heads) + " |")
        typer.echo("| ---" + " | ---:" * (len(heads) - 1) + " |")
        for name, width, side in networks:
            typer.echo("| " + " | ".join(_row(name, width, side)) + " |")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    return options.numbers(option, text, int, "whole numbers")


def _networks(methods: str, widths: tuple[int, ...], sides: tuple[int, ...]) -> list[tuple[str, int, int]]:
    """Method, width and side of each network, all of which can be built."""
    # One of them grows at a time, from the widest and from the largest image.
    pairs = dict.fromkeys([*((width, sides[-1]) for width in widths), *((widths[-1], side) for side in sides)])
    found = [(name, *pair) for name in options.method_names(methods, None) for pair in pairs]
    for one in found:
        _network(*one, device="meta")
    return found


def _network(name: str, width: int, side: int, *, device: str = "cpu") -> ConvNet:
    from onelip import ConvNet

    return ConvNet(name, size=width, classes=10, image=(3, side, side), mean=[0.5] * 3, device=device)


def _row(name: str, width: int, side: int) -> Iterator[str]:
    import torch

    from onelip import Certifier
    from onelip.certify.tightness import rounding_by_module

    torch.manual_seed(0)
    image = (3, side, side)
    model, x = _network(name, width, side), torch.rand(IMAGES, *image)
    charged = []
    for block in (16, ALL_OF_THEM):
        certifier = Certifier(model, image, arithmetic="executed", block=block)
        charged.append(float(certifier.errors(x, torch.zeros(IMAGES, dtype=torch.float64)).median()))
        if block is not None:
            modules = [one for one in rounding_by_module(certifier, x) if one.bound > 1e-30]
    whole = sum(one.bound * one.passed_on for one in modules)
    head = modules[-1].bound * modules[-1].passed_on / whole
    yield from (model.method.title, str(width), str(side), str(len(model.layers)))
    yield from (f"{one:.2g}" for one in charged)
    # The mean is subtracted first; the first convolution, those of images of 2x2 pixels, and the head have 1x1 kernels.
    small = sum(one.bound * one.passed_on for one in (*modules[:2], *modules[-6:])) / whole
    yield from (f"{100 * (1 - small):.0f}", f"{100 * head:.0f}")


if __name__ == "__main__":
    typer.run(main)
