"""codedistill makes a small code model out of a large one, and shows exactly what was lost on the way."""

__version__ = "0.1.0"
