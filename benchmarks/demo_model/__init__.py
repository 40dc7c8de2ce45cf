"""How the embedded model was made: scenes, captions, checker, training. Not part of the wheel."""
