"""Candidate alleles: those that reads propose, and the views of them that are classified."""
