"""A LoRA of one picture: the paper's stronger, slower alternative to the identity adapter (Table 8)."""
