"""Making model packages: the same model in eight bits, with what that cost written beside it."""
