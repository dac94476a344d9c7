"""What a run found, for tools (results), people (table, page, comparison) and the Hub (card)."""
