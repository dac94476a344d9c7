"""Who teaches whom: the plan of teaching and scored rows, the leak guard between them, and folds."""
