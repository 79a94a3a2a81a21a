"""InstantCharacter, the subject adapter of the paper (Sec. 3.4)."""
