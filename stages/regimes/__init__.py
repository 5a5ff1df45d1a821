"""The regimes of eval beside one context at a time: how many self-edits meet in one model."""
