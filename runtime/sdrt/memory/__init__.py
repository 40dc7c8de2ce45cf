"""How much memory a run will take, and how it is made to fit."""
