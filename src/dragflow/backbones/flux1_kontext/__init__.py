"""FLUX.1 Kontext in diffusers layout: FLUX.1, trained to look at a picture and to follow an instruction."""
