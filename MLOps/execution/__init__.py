"""Independent work spread over processes."""
