"""Text → vectors: where the encoder is, what is read of it, the store of what was read, and words beside it."""
