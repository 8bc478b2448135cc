"""The families of models: one file each, over the stock heads of the room around it."""
