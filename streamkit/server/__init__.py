"""Models and pipelines over HTTP: ``streamkit serve``, a drop-in for the neighbour's server."""
