"""The comparison: data, training, measuring, records and reports. Nothing in the library imports this package."""
