"""From the store to the index, and from the index to what people search."""
