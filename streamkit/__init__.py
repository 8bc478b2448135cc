"""Point it at cameras and a model; get events."""
