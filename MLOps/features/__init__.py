"""Features and labels from bars, the scaler, and the leak test."""
