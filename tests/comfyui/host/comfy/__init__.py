"""What the nodes use of ComfyUI, in a few lines: a host for tests. Its names and signatures are ComfyUI's."""
