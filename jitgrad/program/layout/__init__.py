"""What compiled code reads of a program: its tables, and its rows cut into segments, with cells for errors."""
