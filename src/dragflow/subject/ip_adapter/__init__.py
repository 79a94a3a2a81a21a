"""IP-adapters for FLUX.1, in XLabs' and in InstantX's layout, and for Stable Diffusion 3.5."""
