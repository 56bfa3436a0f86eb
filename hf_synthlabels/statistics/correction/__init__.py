"""Means corrected for the errors of a judge: PPI++, Rogan-Gladen, calibration."""
