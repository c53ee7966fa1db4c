"""Measurements of dnarc on the machine at hand, each beside the limit that the machine itself sets.

A figure alone says little: machines differ, and one machine differs from itself an hour later. So every benchmark runs
its subject and the plainest thing that does the same work by turns, and reports the ratio of the two medians.
"""
