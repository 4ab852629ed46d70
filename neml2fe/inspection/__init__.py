"""What decks may say, and what a deck says: the catalog of types, and models explained."""
