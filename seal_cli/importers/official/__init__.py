"""The released SEAL data and results as records. Reads files of the release; writes nothing.

`release` finds the files and their contents, `kinds` and `schemas` tell and check them, `sources`
says which is read how, by the other modules: one for each kind of file. What names say is read in
`labels`. A file that cannot be used is left out with the reason, and keeps no other out. The
release is MIT-licensed (Zweiger et al. 2025); its two layouts differ in folder names and in the
schema of `cpt`.
"""
