"""Heavy once, cheap often: the editor, its sessions, and what lies between pixels and tensors."""
