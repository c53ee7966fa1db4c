"""Benchmarks: what dnarc does on this machine, each figure beside the limit that the machine itself sets.

A figure alone says little, because machines differ, and one machine differs from itself an hour later. So a benchmark
runs its subject and the simplest program that does the same work in turns, and reports the ratio of the two medians.
"""
