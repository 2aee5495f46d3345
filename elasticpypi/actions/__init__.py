"""What changes something in the index: each takes the actor, and says what came of it."""
