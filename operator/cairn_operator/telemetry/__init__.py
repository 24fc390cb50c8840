"""What the operator tells of itself: lines of a log, numbers for Prometheus, answers for probes.

It looks at the rooms below and is asked by nobody there: what is counted is handed over by the process that
wires everything. No state value, no password and no name of a run ever becomes a label.
"""
