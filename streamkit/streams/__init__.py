"""One source on its way into a pipeline: read, watched over, found again when it is lost."""
