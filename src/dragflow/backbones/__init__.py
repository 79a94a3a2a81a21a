"""Adapters from model families to the `Backbone` protocol, one file each; diffusers is imported only when one loads."""
