"""Which features a model's drag should compare, and where it should inject keys and values: measured, then chosen."""
