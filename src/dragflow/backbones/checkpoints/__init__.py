"""Model files as they lie on disks: what each is, and how it becomes a model."""
