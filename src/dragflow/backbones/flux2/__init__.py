"""What the models of FLUX.2 have in common; `flux2_klein` and `flux2_dev` are families of it."""

NON_COMMERCIAL = "FLUX Non-Commercial License"
"""Of the large ones."""
