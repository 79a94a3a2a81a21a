"""The vocabulary of dragflow: plain frozen types without torch, importable in milliseconds."""
