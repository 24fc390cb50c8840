"""The checks of a manifest that need more than one field: each a fact found, with its path.

Every check takes an `Outline`, so that it also runs on a manifest in which other things are wrong, and yields
faults or warnings; none raises, none stops another.
Called by `validation` only. No I/O.
"""
