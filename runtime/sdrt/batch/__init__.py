"""Many pictures: rows of options in, files and a record out."""
