"""Real clients against a live server, and one table per RFC. Not part of the installed package."""
