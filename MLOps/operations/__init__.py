"""Operations on finished results: registration, comparison with the champion, promotion."""
