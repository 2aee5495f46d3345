"""What an index is about, without any input or output."""
