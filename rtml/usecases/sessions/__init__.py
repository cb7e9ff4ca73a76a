"""Sessions: what will this visitor click next?"""
