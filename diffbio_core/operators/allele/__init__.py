"""The caller's own operators: from a candidate's view to the number of copies of its allele."""
