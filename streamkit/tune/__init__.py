"""How a model runs best on this machine: measured, at equal accuracy, remembered, explained."""
