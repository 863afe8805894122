"""Which method fits a user's constraints: from records, published numbers and formulas. Imports no torch."""
