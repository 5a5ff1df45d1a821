"""What a run of each stage is: one module a stage, each a frozen spec that pickles.

resolve.py     names, files and settings -> what specs hold
generate.py …  one module for each stage
"""
