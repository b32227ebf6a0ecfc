"""Pictures of a program for people: its rows with names for their memory, and what each takes."""
