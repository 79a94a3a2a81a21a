"""Heavy once, cheap often: the editor, its sessions, and the conversion between pixels and tensors."""
