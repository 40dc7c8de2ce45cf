"""Does a change of the code change any byte of what sdrt gives?

For a change that should change nothing, such as a restructuring: record before it, record after it,
compare. A recording holds pictures, their parameters, JSON records, messages, exit codes, exported
files and golden vectors, of every way of making a picture.

    python -m sdrt_bench.unchanged models MODELS
    python -m sdrt_bench.unchanged record MODELS BEFORE --python path/to/old/python
    python -m sdrt_bench.unchanged record MODELS AFTER
    python -m sdrt_bench.unchanged compare BEFORE AFTER

Both recordings are made on one machine, with the same models: engines give other bytes on other
processors. The package uses only what stays: the command line, and the public names of `sdrt`. It
imports no other module of this project, so that one version of it records two versions of sdrt.
"""
