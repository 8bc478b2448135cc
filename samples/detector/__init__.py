"""The sample detector: network, loss, data, measurement and model card."""
