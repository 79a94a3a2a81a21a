"""FLUX.1 in diffusers layout: dev, schnell, and every fine-tune of them."""
