"""The experiments of the paper (arXiv 2407.17437), each a part that can be run alone: `nerva reproduce paper`.

A part names its units of work, each of which leaves a record, and makes a section of the report from the records:
`protocol` says what is run, `units` runs it and goes on where it was stopped, `sections` is what a report consists of.
"""
