"""A LoRA of one picture: the paper's stronger, slower alternative to the subject adapter (Table 8)."""
