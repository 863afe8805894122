"""What methods and models are made of: families of layers, activations, reshapes, losses, frozen layers."""
