"""Tables, figures and pages built from records; imports no torch."""
