"""The released SEAL data and results as records. Reads files of the release; writes nothing.

      release.py       which files there are, and their contents
      kinds.py         which schema a file has, by its content
      sources.py       which file is read how, and which other files that takes
      schemas.py       what a file of each schema must look like
      labels.py        who wrote what with which prompt, for which split: the names of the release
      experiment.py    who was adapted, to what, and who or what wrote that
      passages.py      passages, self-edits, EntiGraph variants
      run.py           one file of the query server: its experiment, and how its numbers were made
      query_server.py  rewards of RL rounds and single-passage evaluations, with judged answers
      cpt.py           continued pretraining on many passages, with judged answers
      continual.py     retention after a sequence of self-edits
      sft.py           the self-edits that the policy was finetuned on
      fewshot.py       ARC tasks, self-edits and results

A file that cannot be used is left out with the reason, and keeps no other out. The release is
MIT-licensed (Zweiger et al. 2025); its two layouts differ in folder names and in the schema of
`cpt`.
"""
