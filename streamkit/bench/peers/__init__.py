"""The same work in other packages; these scripts are run by a Python that has them, never here."""
