"""Where checkpoints live: the protocol of a store, its implementations, and the bytes that go in and out.

`base` is the protocol with its rules; `contract` is the suite that every implementation passes, from here or
outside; `opening` finds the implementation for a URL and loads only that one.
`codec` turns values into payloads, `chain` binds checkpoints into a history that can be proved.
A store knows bytes and rows; what they mean is the engine's to know.
Nothing here imports the engine, the runner or the command line.
"""
