"""People's work: what they are asked (`queue`), what they answer (`answers`), what that makes an item (`consensus`)."""
