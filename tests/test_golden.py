"""What a revision of a method computes: results may change only together with `Method.revision`.

python tests/test_golden.py    # writes the file anew, after a revision was raised
"""

import json
from pathlib import Path

import pytest
import torch

import onelip

PATH = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-5
"""Between processors and versions of torch, over the largest number; what a revision changes is larger."""


def computed(name: str) -> dict[str, object]:
    """Logits in training and in eval mode, and the gradient's norm, of one network under one seed."""
    torch.manual_seed(0)
    model = onelip.ConvNet(name, size=4, classes=4, image=(1, 8, 8), mean=[0.5])
    x = torch.linspace(0, 1, 2 * 64).sin().abs().view(2, 1, 8, 8)
    trained = model(x)
    onelip.MarginCrossEntropy()(trained, torch.tensor([1, 2])).backward()
    gradients = [parameter.grad.square().sum() for parameter in model.parameters() if parameter.grad is not None]
    with torch.no_grad():
        evaluated = model.eval()(x)
    return {
        "revision": onelip.METHODS[name].revision,
        "training": [round(value, 7) for value in trained.flatten().tolist()],
        "eval": [round(value, 7) for value in evaluated.flatten().tolist()],
        "gradient": [round(float(torch.stack(gradients).sum().sqrt()), 6)],
    }


@pytest.mark.parametrize("name", onelip.METHODS)
def test_a_revision_keeps_its_results(name):
    golden, now = json.loads(PATH.read_text())[name], computed(name)
    assert now["revision"] == golden["revision"], "a new revision: python tests/test_golden.py"
    for key in ("training", "eval", "gradient"):
        largest = max(map(abs, golden[key]))
        assert now[key] == pytest.approx(golden[key], rel=0, abs=TOLERANCE * largest), f"{key}: raise {name}'s revision"


def test_every_method_has_golden_results():
    assert set(json.loads(PATH.read_text())) == set(onelip.METHODS)


if __name__ == "__main__":
    PATH.write_text(json.dumps({name: computed(name) for name in onelip.METHODS}, indent=1) + "\n")
