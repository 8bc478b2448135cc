"""How a model's time is spent where there is not enough: what to skip, lower, or refuse."""
