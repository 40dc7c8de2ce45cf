"""What a record looks like to people and to other tools: table, CSV, Markdown and HTML."""
