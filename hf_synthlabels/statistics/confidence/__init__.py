"""Confidence: is it calibrated, does it separate right from wrong labels, and can it be corrected?"""
