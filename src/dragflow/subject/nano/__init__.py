"""The subject adapter of the embedded model: InstantCharacter in small, with its weights."""
