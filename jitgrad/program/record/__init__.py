"""Recording: a function runs once as usual, and what it runs, takes and returns is written down."""
