"""Intervals that stay valid when labels are looked at while they come in."""
