"""The Open Inference Protocol, as messages and stubs.

They register the standard's own names, ``inference.*``, in protobuf's default pool, and so do the stubs of
other distributions, tritonclient's for one: a process can import one of them only.
"""
