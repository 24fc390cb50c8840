"""The room of what people and programs see: rows in, text or JSON out.

Pure, with the clock and the width passed in, so that every view is tested as a table of inputs and outputs;
the live table alone draws for a terminal.
No view asks a store.
"""
