"""What a run of each stage is: one module a stage, each a frozen spec that pickles."""
