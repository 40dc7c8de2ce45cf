"""Charts drawn with matplotlib, as SVG for pages and as pictures: bars, scatter plots and lines."""
