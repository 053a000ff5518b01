"""What is done with finished results: registration, comparison with the champion, promotion."""
