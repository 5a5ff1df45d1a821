"""What this machine does: adapters trained and asked (`adapters`), self-edits written (`generate`).

Needs torch, transformers, peft and safetensors alone and returns records; `seal bench` prints them.
"""
