"""What did the person mean? A provider proposes labels and prompts, the person chooses (paper Sec. 3.2, App. D.3)."""
